"""Two targets against each other, and the conventions that set them apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

from harness.record.kinds import PAIR_SEVERITY, JudgedConventions, Pair
from harness.record.read import Records
from reports.agreement import DTYPES, Cell, in_order, own_first, size


@dataclass(frozen=True)
class Triangle:
    """Targets down and across, one dtype: every pair once."""

    dtype: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """(target, its cells), each row one cell longer than the one before."""


@dataclass(frozen=True)
class ConventionsTable:
    """Targets down, conventions across."""

    fields: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[object, bool], ...]], ...]
    """(target, ((value, whether the first target has another), ...))."""
    first: str
    """The first target whose conventions are known."""


def triangles(records: Records) -> list[Triangle]:
    """Target x target, a triangle a dtype: worst verdict, worst ratio, and the conventions that are declared."""
    by_dtype: dict[str, dict[frozenset[str], list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in records.pairs:
        by_dtype[pair.dtype][frozenset((pair.a, pair.b))].append(pair)
    names = [target.target for target in own_first(records)]
    made = []
    for dtype in in_order(by_dtype, DTYPES):
        by_names = by_dtype[dtype]
        here = [name for name in names if any(name in both for both in by_names)]
        rows = (
            (name, tuple(pair_cell(by_names.get(frozenset((name, other)), [])) for other in here[:number]))
            for number, name in enumerate(here)
            if number
        )
        made.append(Triangle(dtype, tuple(here[:-1]), tuple(rows)))
    return made


def pair_cell(pairs: Sequence[Pair]) -> Cell:
    """The worst verdict among `pairs`, which are the same two targets in several observables."""
    if not pairs:
        return Cell("not_asked")
    verdict = min((pair.verdict for pair in pairs), key=PAIR_SEVERITY.index)
    measured = [pair for pair in pairs if pair.ratio is not None]
    record = max(measured, key=lambda pair: size(pair.ratio), default=pairs[0])
    declared = dict.fromkeys(name for pair in pairs for name in pair.declared_by)
    return Cell(verdict, record.ratio, record, len(pairs), ", ".join(declared))


def conventions(records: Records) -> ConventionsTable:
    """By which conventions each target was judged; none are known of a target that could not be loaded."""
    targets = own_first(records)
    first = next((target for target in targets if target.conventions is not None), None)
    names = tuple(field.name for field in fields(JudgedConventions)) if first else ()

    def row(judged_by: JudgedConventions | None) -> tuple[tuple[object, bool], ...]:
        if judged_by is None:
            return tuple((None, False) for _ in names)
        values = ((getattr(judged_by, name), getattr(first and first.conventions, name)) for name in names)
        return tuple((value, value != of_first) for value, of_first in values)

    return ConventionsTable(
        names, tuple((target.target, row(target.conventions)) for target in targets), first.target if first else ""
    )
