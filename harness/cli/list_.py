"""`bnproof list`: the built-in targets, what is installed, and the cases."""

from __future__ import annotations

from typing import Any

from harness.cli.options import Json


def list_(json_file: Json = None) -> None:
    """Targets and cases, with what is installed."""
    from harness.cli.output import write_json

    content = as_dict()
    write_json(json_file, content)
    show(content)


def as_dict() -> dict[str, Any]:
    import importlib.metadata

    from harness.cases.catalogue import CASES
    from harness.cases.traps import source_of
    from harness.targets.built_in import BUILT_IN, is_installed
    from harness.targets.load import ENTRY_POINTS

    return {
        "targets": [
            {"target": name, "what": built_in.what, "installed": is_installed(name), "install": built_in.install}
            for name, built_in in BUILT_IN.items()
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


def show(content: dict[str, Any]) -> None:
    """Two tables."""
    from rich.table import Table

    from harness.cli.output import out

    targets = Table(title="targets", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("target", "installed", "what"):
        targets.add_column(heading, no_wrap=heading != "what")
    for target in content["targets"]:
        mark = "[green]yes[/]" if target["installed"] else f"[yellow]no[/]: {target['install']}"
        targets.add_row(target["target"], mark, target["what"])
    out.print(targets)
    out.print("any other: module:attr or file.py:attr\n")
    cases = Table(title=f"{len(content['cases'])} cases", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("case", "suite", "kind", "why"):
        cases.add_column(heading, no_wrap=heading != "why")
    for case in content["cases"]:
        suite, kind = "quick" if case["quick"] else "full", "policy" if case["policy"] else "law"
        cases.add_row(case["case"], suite, kind, case["why"])
    out.print(cases)
