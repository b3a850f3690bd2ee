"""Targets against the oracle: a matrix of targets and observables for each dtype."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.observables import OBSERVABLES, STATISTICS, STEP, column
from harness.record.kinds import FAULTS, SEVERITY, ComparisonRecord, Kind, Pair, TargetRecord, Verdict
from harness.record.read import Records
from reports.signs import WITH_RATIO

DTYPES = ("float64", "float32", "bfloat16", "float16")
GROUPS = (
    ("training", tuple(column(name, "train") for name in STEP)),
    ("prediction", tuple(column(name, "eval") for name in STEP)),
    ("moving statistics", STATISTICS),
)
"""(title, columns): what is observed in either mode, and after any step."""
COLUMNS = tuple(name for _, names in GROUPS for name in names)
DERIVED = "derivatives"
"""The column of what comes of forward mode or of differentiating twice, which few targets offer: all of it in one."""
WHOLE = "whole step"
"""The column of what is not about one observable: a step that raises, a process that dies."""


@dataclass(frozen=True)
class Cell:
    """One cell of a matrix: a verdict, the largest ratio behind it, and the record that it comes from."""

    verdict: str
    """A verdict on comparisons or on a pair, "policy_only" or "not_asked"."""
    ratio: float | None = None
    record: ComparisonRecord | Pair | None = None
    total: int = 0
    """How many records the cell stands for."""
    detail: str = ""

    @property
    def shows_ratio(self) -> bool:
        return self.ratio is not None and self.verdict in WITH_RATIO

    @property
    def share(self) -> int:
        """How much of the bound is used, in per cent, at most 100."""
        return 0 if self.ratio is None else (100 if not self.ratio <= 1 else round(100 * self.ratio))

    @property
    def case(self) -> str:
        """The case that the ratio comes from."""
        return (self.record.case or "") if self.record and self.ratio is not None else ""


@dataclass(frozen=True)
class Row:
    target: str
    is_own: bool
    cells: tuple[Cell, ...]

    @property
    def was_asked(self) -> bool:
        return any(cell.verdict != "not_asked" for cell in self.cells)

    @property
    def agrees(self) -> bool:
        verdicts = {cell.verdict for cell in self.cells}
        return "agree" in verdicts and not verdicts & set(FAULTS)


@dataclass(frozen=True)
class Figure:
    """A cell that compares numbers, with the comparison that it comes from."""

    target: str
    column: str
    cell: Cell
    record: ComparisonRecord


@dataclass(frozen=True)
class Matrix:
    """Targets down, columns across, one dtype."""

    dtype: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]

    @property
    def columns(self) -> list[str]:
        return [name for _, names in self.groups for name in names]

    @property
    def asked(self) -> int:
        return sum(row.was_asked for row in self.rows)

    @property
    def agreeing(self) -> int:
        return sum(row.agrees for row in self.rows)

    @property
    def figures(self) -> list[Figure]:
        return [
            Figure(row.target, column_of(cell.record) if name == DERIVED else name, cell, cell.record)
            for row in self.rows
            for name, cell in zip(self.columns, row.cells, strict=True)
            if cell.ratio is not None and isinstance(cell.record, ComparisonRecord)
        ]


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Each of `names` once: those of `order` as they stand there, then the rest by name."""
    given = set(names)
    return [name for name in order if name in given] + sorted(given - set(order))


def own_first(records: Records) -> list[TargetRecord]:
    """The targets, our own before the others."""
    return sorted(records.targets, key=lambda target: target.target not in records.header.own)


def column_of(comparison: ComparisonRecord) -> str:
    """Which column of a matrix a comparison belongs to."""
    return column(comparison.observable, comparison.op) if comparison.observable in OBSERVABLES else WHOLE


def matrix_column(comparison: ComparisonRecord) -> str:
    """The same, the derivatives in one column."""
    name = column_of(comparison)
    return name if name in COLUMNS or name == WHOLE else DERIVED


def size(ratio: float | None) -> float:
    """For ordering: NaN is worse than any number."""
    return -1.0 if ratio is None else (math.inf if math.isnan(ratio) else ratio)


def worst_cell(comparisons: Sequence[ComparisonRecord]) -> Cell:
    """The worst law verdict among `comparisons`, and the largest error/bound of those that have it."""
    law = [comparison for comparison in comparisons if comparison.kind is Kind.law]
    if not law:
        return Cell("policy_only" if comparisons else "not_asked")
    verdict = min((comparison.verdict for comparison in law), key=SEVERITY.index)
    worst = [comparison for comparison in law if comparison.verdict is verdict]
    measured = [comparison for comparison in worst if comparison.ratio is not None and verdict in WITH_RATIO]
    if measured:
        record = max(measured, key=lambda comparison: size(comparison.ratio))
        return Cell(verdict, record.ratio, record, len(law))
    return Cell(verdict, None, worst[0], len(law), worst[0].message or "")


ByColumn = dict[str, list[ComparisonRecord]]


def agreement(records: Records) -> list[Matrix]:
    """Target x observable, a matrix a dtype."""
    by_dtype: dict[str, dict[str, ByColumn]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for comparison in records.comparisons:
        by_dtype[comparison.dtype][comparison.target][matrix_column(comparison)].append(comparison)
    return [_matrix(records, dtype, by_dtype[dtype]) for dtype in in_order(by_dtype, DTYPES)]


def _matrix(records: Records, dtype: str, by_target: dict[str, ByColumn]) -> Matrix:
    groups: tuple[tuple[str, tuple[str, ...]], ...] = GROUPS
    if any(DERIVED in by_column for by_column in by_target.values()):
        groups = (*groups, ("", (DERIVED,)))
    whole = [comparison for by_column in by_target.values() for comparison in by_column.get(WHOLE, [])]
    if any(comparison.kind is Kind.law and comparison.verdict is not Verdict.agree for comparison in whole):
        groups = (*groups, ("", (WHOLE,)))
    columns = [name for _, names in groups for name in names]
    rows = (
        Row(target.target, target.target in records.header.own, _cells(by_target.get(target.target, {}), columns))
        for target in own_first(records)
    )
    return Matrix(dtype, groups, tuple(rows))


def _cells(by_column: ByColumn, columns: list[str]) -> tuple[Cell, ...]:
    """A target that was asked and gave nothing at all in a dtype shows why in every column."""
    if set(by_column) == {WHOLE} and len({comparison.verdict for comparison in by_column[WHOLE]}) == 1:
        return (worst_cell(by_column[WHOLE]),) * len(columns)
    return tuple(worst_cell(by_column.get(name, [])) for name in columns)


def largest(matrices: Sequence[Matrix], names: Sequence[str]) -> Figure | None:
    """The largest error/bound among the targets `names`."""
    figures = (figure for matrix in matrices for figure in matrix.figures if figure.target in names)
    return max(figures, key=lambda figure: size(figure.cell.ratio), default=None)
