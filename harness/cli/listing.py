"""`bnproof list`: the built-in targets, what is installed, and the cases."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from rich.table import Table

from harness.cases.catalogue import CASES
from harness.cases.traps import source_of
from harness.cli.show import out
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.load import ENTRY_POINTS


def as_dict() -> dict[str, Any]:
    return {
        "targets": [
            {"target": name, "what": one.what, "installed": is_installed(name), "install": one.install}
            for name, one in BUILT_IN.items()
        ]
        + [
            {"target": entry.name, "what": entry.value, "installed": True, "install": ""}
            for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)
        ],
        "cases": [
            {
                "case": case.id,
                "why": case.why,
                "source": source_of(case),
                "traps": list(case.traps),
                "separates": list(case.separates),
                "shape": list(case.shape),
                "dtypes": list(case.dtypes),
                "policy": case.policy == "all",
                "quick": case.quick,
            }
            for case in CASES
        ],
    }


def show() -> None:
    found = as_dict()
    targets = Table(title="targets", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("target", "installed", "what"):
        targets.add_column(column, no_wrap=column != "what")
    for one in found["targets"]:
        mark = "[green]yes[/]" if one["installed"] else f"[yellow]no[/]: {one['install']}"
        targets.add_row(one["target"], mark, one["what"])
    out.print(targets)
    out.print("any other: module:attr or file.py:attr\n")
    cases = Table(title=f"{len(CASES)} cases", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("case", "suite", "kind", "why"):
        cases.add_column(column, no_wrap=column != "why")
    for one in found["cases"]:
        cases.add_row(
            one["case"], "quick" if one["quick"] else "full", "policy" if one["policy"] else "law", one["why"]
        )
    out.print(cases)
