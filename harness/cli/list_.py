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
    from harness.targets.built_in import is_installed
    from harness.targets.load import ENTRY_POINTS
    from harness.targets.replicas.targets import TARGETS
    from harness.targets.through.table import TABLE

    return {
        "targets": [
            {
                "target": name,
                "what": built_in.what,
                "installed": is_installed(name, TARGETS),
                "install": built_in.install,
            }
            for name, built_in in TARGETS.items()
        ]
        + [
            {"target": entry.name, "what": entry.value, "installed": True, "install": ""}
            for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)
        ],
        "transformations": [
            {
                "transformation": transformation.name,
                "framework": transformation.framework,
                "what": transformation.what,
                "keeps": list(transformation.keeps),
                "needs": [*transformation.needs, *([transformation.program] if transformation.program else [])],
                "lacks": transformation.lacks,
                "source": transformation.source,
            }
            for transformation in TABLE
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
    """Three tables."""
    from rich.markup import escape

    from harness.cli.output import out, print_table, table
    from harness.targets.through.transformation import EVERYTHING

    targets = table("targets", ("target", "installed", "what"))
    for target in content["targets"]:
        mark = "[green]yes[/]" if target["installed"] else f"[yellow]no[/]: {escape(target['install'])}"
        targets.add_row(target["target"], mark, escape(target["what"]))
    print_table(targets)
    out.print("any other: module:attr or file.py:attr\n")
    through = table("transformations, for --through", ("framework", "name", "keeps", "what"))
    for transformation in content["transformations"]:
        keeps = "all" if len(transformation["keeps"]) == len(EVERYTHING) else ", ".join(transformation["keeps"])
        needs = f" (needs {', '.join(transformation['needs'])})" if transformation["needs"] else ""
        what = escape(transformation["what"] + needs)
        through.add_row(transformation["framework"], transformation["transformation"], keeps, what)
    print_table(through)
    out.print()
    cases = table(f"{len(content['cases'])} cases", ("case", "suite", "kind", "why"))
    for case in content["cases"]:
        suite, kind = "quick" if case["quick"] else "full", "policy" if case["policy"] else "law"
        cases.add_row(case["case"], suite, kind, escape(case["why"]))
    print_table(cases)
