"""What the report says first, and its matrices, from a ledger's records. Nothing here knows of HTML or Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.record.ledger import number

Record = dict[str, Any]
Ledger = dict[str, list[Record]]

DTYPES = ("float64", "float32", "bfloat16", "float16")
FAULTS = ("crashed", "timed_out", "raised", "differ")
WORST_FIRST = (*FAULTS, "agree", "inconclusive", "not_run", "unsupported")
PAIR_WORST_FIRST = ("differ", "declared", "agree", "inconclusive")
STEP = ("y", "dx", "dgamma", "dbeta")
GROUPS = (
    ("training", tuple(f"train {name}" for name in STEP)),
    ("prediction", tuple(f"eval {name}" for name in STEP)),
    ("moving statistics", ("moving_mean", "moving_var")),
)
WHOLE = "whole step"


@dataclass
class Cell:
    """One cell of a matrix: a verdict, the largest ratio behind it, and the record that it comes from."""

    verdict: str
    ratio: float | None = None
    record: Record = field(default_factory=dict)
    total: int = 0
    detail: str = ""

    @property
    def share(self) -> int:
        """How much of the bound is used, in per cent, at most 100."""
        return 0 if self.ratio is None else (100 if not self.ratio <= 1 else round(100 * self.ratio))


@dataclass
class Matrix:
    """Targets down, columns across, one dtype."""

    dtype: str
    groups: list[tuple[str, list[str]]]
    rows: list[tuple[str, bool, list[Cell]]]  # (target, whether it is ours, cells)
    agreeing: int = 0
    asked: int = 0

    @property
    def columns(self) -> list[str]:
        return [name for _, names in self.groups for name in names]

    @property
    def figures(self) -> list[tuple[str, str, Cell]]:
        """(target, column, cell) of every cell that compares numbers."""
        return [
            (target, name, cell)
            for target, _, cells in self.rows
            for name, cell in zip(self.columns, cells, strict=True)
            if cell.ratio is not None
        ]


def in_order(found: Iterable[str], known: tuple[str, ...]) -> list[str]:
    """Each of `found` once: those that are known in their order, then the rest by name."""
    names = set(found)
    return [name for name in known if name in names] + sorted(names - set(known))


def own_first(ledger: Ledger) -> list[Record]:
    """The target records, our own before the others."""
    own = ledger["header"][0]["own"]
    return sorted(ledger.get("target", []), key=lambda one: one["target"] not in own)


def column_of(record: Record) -> str:
    """Which column of the agreement matrix a comparison belongs to."""
    observable = record["observable"] or ""
    if observable in ("moving_mean", "moving_var"):
        return observable
    if observable in STEP:
        return f"{'eval' if record['op'] == 'eval' else 'train'} {observable}"
    return WHOLE


def worst_cell(records: list[Record]) -> Cell:
    """The worst law verdict among `records`, and the largest error/bound of those that agree or differ."""
    law = [one for one in records if one["kind"] == "law"]
    if not law:
        return Cell("policy_only" if records else "not_asked")
    verdict = min((one["verdict"] for one in law), key=WORST_FIRST.index)
    mine = [one for one in law if one["verdict"] == verdict]
    compared = [one for one in mine if one["ratio"] is not None and verdict in ("agree", "differ")]
    if compared:
        record = max(compared, key=lambda one: _size(number(one["ratio"])))
        return Cell(verdict, number(record["ratio"]), record, len(law))
    return Cell(verdict, None, mine[0], len(law), mine[0]["message"] or "")


def _size(value: float | None) -> float:
    """For ordering: NaN is worse than any number."""
    return -1.0 if value is None else (math.inf if math.isnan(value) else value)


def agreement(ledger: Ledger) -> list[Matrix]:
    """Target x observable, a matrix a dtype."""
    own = ledger["header"][0]["own"]
    found: dict[str, dict[str, dict[str, list[Record]]]] = {}
    for record in ledger.get("comparison", []):
        by_target = found.setdefault(record["dtype"], {}).setdefault(record["target"], {})
        by_target.setdefault(column_of(record), []).append(record)
    matrices = []
    for dtype in in_order(found, DTYPES):
        groups = [(title, list(names)) for title, names in GROUPS]
        whole = [one for columns in found[dtype].values() for one in columns.get(WHOLE, [])]
        if any(one["kind"] == "law" and one["verdict"] != "agree" for one in whole):
            groups.append(("", [WHOLE]))
        matrix = Matrix(dtype, groups, [])
        for one in own_first(ledger):
            cells = _row(found[dtype].get(one["target"], {}), matrix.columns)
            matrix.rows.append((one["target"], one["target"] in own, cells))
            verdicts = {cell.verdict for cell in cells}
            matrix.asked += verdicts != {"not_asked"}
            matrix.agreeing += "agree" in verdicts and not verdicts & set(FAULTS)
        matrices.append(matrix)
    return matrices


def _row(found: dict[str, list[Record]], columns: list[str]) -> list[Cell]:
    """A target that was asked and gave nothing at all in a dtype shows why in every column."""
    if set(found) == {WHOLE} and len({one["verdict"] for one in found[WHOLE]}) == 1:
        return [worst_cell(found[WHOLE])] * len(columns)
    return [worst_cell(found.get(name, [])) for name in columns]


def largest(matrices: list[Matrix], names: list[str]) -> tuple[str, str, Cell] | None:
    """(target, column, cell) of the largest error/bound among the targets `names`."""
    found = [one for matrix in matrices for one in matrix.figures if one[0] in names]
    return max(found, key=lambda one: _size(one[2].ratio), default=None)


def failures(ledger: Ledger, target: str) -> list[dict[str, Any]]:
    """Where a target is at fault: a row a case, with its observables and dtypes, the worst ratio and a message."""
    rows: dict[str, dict[str, Any]] = {}
    for one in ledger.get("comparison", []):
        if one["target"] != target or one["kind"] != "law" or one["verdict"] not in FAULTS:
            continue
        row = rows.setdefault(
            one["case"],
            {"case": one["case"], "where": set(), "dtypes": set(), "verdicts": set(), "ratio": None, "message": None},
        )
        row["where"].add(column_of(one).removeprefix("train "))
        row["dtypes"].add(one["dtype"])
        row["verdicts"].add(one["verdict"])
        row["message"] = row["message"] or one["message"]
        if _size(number(one["ratio"])) > _size(row["ratio"]):
            row["ratio"] = number(one["ratio"])
    columns = tuple(name.removeprefix("train ") for _, names in GROUPS for name in names)
    for row in rows.values():
        row["where"] = in_order(row["where"], (*columns, WHOLE))
        row["dtypes"] = in_order(row["dtypes"], DTYPES)
        row["verdicts"] = in_order(row["verdicts"], FAULTS)
    return sorted(rows.values(), key=lambda row: -_size(row["ratio"]))


def noted(ledger: Ledger, target: str) -> list[str]:
    """The policy cases in which a target does otherwise than the oracle."""
    rows = (one for one in ledger.get("comparison", []) if one["target"] == target and one["verdict"] == "noted")
    return list(dict.fromkeys(one["case"] for one in rows))


def findings(ledger: Ledger) -> list[dict[str, Any]]:
    """Each target with its diagnosis, notes and failures; those with nothing to say are left out."""
    rows = [
        {
            "target": one["target"],
            "verdict": one["verdict"],
            "error": one["error"],
            "diagnosis": one["diagnosis"],
            "notes": one["notes"],
            "failures": failures(ledger, one["target"]),
            "noted": noted(ledger, one["target"]),
        }
        for one in own_first(ledger)
    ]
    told = ("error", "diagnosis", "notes", "failures", "noted")
    return [row for row in rows if row["verdict"] != "agree" or any(row[name] for name in told)]


def pairs(ledger: Ledger) -> list[dict[str, Any]]:
    """Target x target, a triangle a dtype: worst verdict, worst ratio, and the conventions that are declared."""
    names = [one["target"] for one in own_first(ledger)]
    found: dict[str, dict[frozenset[str], list[Record]]] = {}
    for record in ledger.get("pair", []):
        both = frozenset((record["a"], record["b"]))
        found.setdefault(record["dtype"], {}).setdefault(both, []).append(record)
    triangles = []
    for dtype in in_order(found, DTYPES):
        here = [name for name in names if any(name in both for both in found[dtype])]
        rows = [
            (name, [pair_cell(found[dtype].get(frozenset((name, other)), [])) for other in here[:place]])
            for place, name in enumerate(here)
            if place
        ]
        triangles.append({"dtype": dtype, "columns": here[:-1], "rows": rows})
    return triangles


def pair_cell(records: list[Record]) -> Cell:
    if not records:
        return Cell("not_asked")
    verdict = min((one["verdict"] for one in records), key=PAIR_WORST_FIRST.index)
    measured = [one for one in records if one["ratio"] is not None]
    record = max(measured, key=lambda one: _size(number(one["ratio"])), default=records[0])
    declared = [name for one in records for name in one["declared_by"]]
    return Cell(verdict, number(record["ratio"]), record, len(records), ", ".join(dict.fromkeys(declared)))


def conventions(ledger: Ledger) -> dict[str, Any]:
    """Targets down, fields across. A cell is (value, whether the first target has another)."""
    rows = [(one["target"], one["conventions"] or {}) for one in own_first(ledger)]
    fields = list(dict.fromkeys(name for _, held in rows for name in held))
    first, theirs = next(((name, held) for name, held in rows if held), ("", {}))
    table = [
        (target, [(held.get(name), bool(held) and held.get(name) != theirs.get(name)) for name in fields])
        for target, held in rows
    ]
    return {"fields": fields, "rows": table, "first": first}


WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FAULT_WORDS = {
    "differ": "differs from the oracle",
    "raised": "raises where a result is owed",
    "crashed": "crashes",
    "timed_out": "does not come to an end",
    "inconclusive": "could not be judged",
    "unsupported": "supports nothing that was asked",
    "not_run": "was not run",
}


def listed(names: Iterable[str]) -> str:
    """a, b and c"""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def headline(ledger: Ledger, locked: list[Record], trained: list[Record]) -> Record:
    """{"text", "lines", "level"}: whether our own are right, in a sentence; what is wrong, a line each."""
    own = ledger["header"][0]["own"]
    here = [one["target"] for one in ledger.get("target", []) if one["target"] in own]
    lines = own_faults(ledger, locked, trained)
    missing = [name for name in own if name not in here]
    level = "bad" if lines else ("open" if missing else "good")
    if missing and here:
        lines.append(f"Not checked here: {listed(missing)}.")
    if not here:
        return {"text": "None of our own implementations was checked.", "lines": lines, "level": "bad"}
    if level == "bad":
        return {"text": f"Something of ours is wrong: {lines[0]}", "lines": lines, "level": level}
    several = len(here) > 1
    which = f"{WORDS[len(here)] if len(here) < len(WORDS) else len(here)} own implementation{'s' if several else ''}"
    text = f"All {which}" if several and not missing else f"The {which}{' checked here' if missing else ''}"
    text += f" agree{'' if several else 's'} with the oracle in every case"
    among = [one["verdict"] for one in ledger.get("pair", []) if {one["a"], one["b"]} <= set(own)]
    if among:
        text += f" and with each other{' but for their declared conventions' if 'declared' in among else ''}"
    return {"text": f"{text}.", "lines": lines, "level": level}


def own_faults(ledger: Ledger, locked: list[Record], trained: list[Record]) -> list[str]:
    """All that is wrong with our own implementations, a sentence each."""
    own = ledger["header"][0]["own"]
    lines = [
        f"{one['target']} {'could not be loaded' if one['error'] else FAULT_WORDS.get(one['verdict'], one['verdict'])}."
        for one in own_first(ledger)
        if one["target"] in own and (one["verdict"] != "agree" or one["error"])
    ]
    differ = [(one["a"], one["b"]) for one in ledger.get("pair", []) if one["verdict"] == "differ"]
    lines += [f"{a} and {b} differ by more than their bounds." for a, b in dict.fromkeys(differ) if {a, b} <= set(own)]
    lines += [
        f"{one['a']} and {one['b']} part ways in lockstep ({one['tensor']} is further apart than {one['allowed']:g} "
        "times what one ulp grew to)."
        for one in locked
        if not one["within"]
    ]
    for one in trained:
        outside = [name for name in ("loss", "train_accuracy") if one[f"{name}_in_range"] is False]
        if outside:
            what = listed(name.replace("_", " ") for name in outside)
            lines.append(f"{one['implementation']} ends its training outside the range of a correct run ({what}).")
    return lines
