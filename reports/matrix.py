"""From the matrix's ledger to index.html and matrix.md. It reads the ledger and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.record.ledger import read
from reports.render import html_environment, markdown_environment, markdown_text

OBSERVABLES = (
    "y", "dx", "dgamma", "dbeta", "moving_mean", "moving_var", "eval y", "eval dx", "eval dgamma", "eval dbeta",
)  # fmt: skip
DTYPES = ("float64", "float32", "bfloat16", "float16")
FIELDS = (
    "momentum",
    "moving_var",
    "eps_at",
    "channel_axis",
    "debias",
    "single_value",
    "default_eps",
    "default_momentum",
)


def render(ledger_file: Path, out: Path) -> Path:
    """Write both pages into `out`; returns the HTML one. Raises LedgerError for a ledger that is not whole."""
    content = contents(read(ledger_file))
    out.mkdir(parents=True, exist_ok=True)
    page = html_environment().get_template("matrix.html").render(**content)
    (out / "index.html").write_text(page, encoding="utf-8")
    text = markdown_environment().get_template("matrix.md").render(**content)
    shown = [_as_markdown(number, one) for number, one in enumerate(content["findings"], 1)]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join([text, *shown]))
    (out / "matrix.md").write_text(text, encoding="utf-8")
    return out / "index.html"


def contents(ledger: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    targets = ledger.get("target", [])
    findings = [one for one in ledger.get("finding", []) if one["reproduced"]]
    return {
        "header": ledger["header"][0],
        "environment": ledger["header"][0]["environment"],
        "targets": [one | {"findings": _numbers(findings, one["target"])} for one in targets],
        "not_installed": ledger.get("not_installed", []),
        "findings": findings,
        "observables": OBSERVABLES,
        "tables": [_table(dtype, targets, ledger.get("cell", [])) for dtype in DTYPES],
        "fields": FIELDS,
        "same": [_same(one["target"], ledger.get("pair", [])) for one in targets],
    }


def _as_markdown(number: int, one: dict[str, Any]) -> str:
    """A finding; its code and output stand as they are, which a template that escapes everything cannot do."""
    about = f"Targets: {', '.join(one['targets'])}. Documented: {one['documented']}"
    output = "\n".join(one["output"])
    return (
        f"### {number}. {markdown_text(one['title'])}\n\n{markdown_text(about)}\n\n"
        f"```python\n{one['code']}\n```\n\nprints\n\n```\n{output}\n```\n"
    )


def _numbers(findings: list[dict[str, Any]], target: str) -> list[int]:
    return [number for number, one in enumerate(findings, 1) if target in one["targets"]]


def _table(dtype: str, targets: list[dict[str, Any]], cells: list[dict[str, Any]]) -> dict[str, Any]:
    """One dtype: a row a target that plays it, its worst error/bound by observable."""
    mine = {(one["target"], one["observable"]): one for one in cells if one["dtype"] == dtype}
    played = [one["target"] for one in targets if any(key[0] == one["target"] for key in mine)]
    rows = [(name, [mine.get((name, observable)) for observable in OBSERVABLES]) for name in played]
    return {"dtype": dtype, "rows": rows}


def _same(target: str, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """How a target compares with each of the others, by verdict."""
    found: dict[str, Any] = {"target": target, "agree": [], "declared": [], "differ": [], "fields": set()}
    for one in pairs:
        if target in (one["a"], one["b"]) and one["verdict"] in found:
            found[one["verdict"]].append(one["b"] if one["a"] == target else one["a"])
            if one["verdict"] == "declared":
                found["fields"].update(one["declared_by"])
    return found | {"fields": sorted(found["fields"])}
