"""Error over bound of every target in every case, as a heat map: a row a case, a column a target."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.record.kinds import FAULTS, ComparisonRecord, Kind, Verdict
from harness.record.read import Records
from reports.agreement import Cell, own_first, worst_cell
from reports.companion import CaseText

SHARES = (0.03, 0.1, 0.3, 0.6)
"""Of the bound: where one green ends and the next begins."""
BEYOND = (10.0, 1e3, 1e6)
"""Bounds: where one red ends and the next begins."""


@dataclass(frozen=True)
class HeatCell:
    """The worst comparison of a target in a case, over all dtypes and observables."""

    target: str
    cell: Cell

    @property
    def level(self) -> str:
        """The class of the style sheet: within0 .. within4 and beyond0 .. beyond3, or "open" or "none"."""
        if self.cell.verdict in FAULTS:
            ratio = self.cell.ratio if self.cell.shows_ratio else None
            return f"beyond{len(BEYOND) if ratio is None else steps_below(ratio, BEYOND)}"
        if self.cell.verdict == Verdict.agree:
            return f"within{0 if self.cell.ratio is None else steps_below(self.cell.ratio, SHARES)}"
        return "none" if self.cell.verdict in ("policy_only", "not_asked") else "open"

    @property
    def is_fault(self) -> bool:
        return self.cell.verdict in FAULTS

    @property
    def dtype(self) -> str:
        return self.cell.record.dtype if self.cell.record else ""


@dataclass(frozen=True)
class HeatRow:
    case: str
    cells: tuple[HeatCell, ...]

    @property
    def at_fault(self) -> list[str]:
        """The targets that are at fault in this case."""
        return [each.target for each in self.cells if each.is_fault]

    @property
    def outcomes(self) -> list[str]:
        """What the page's filter offers: "differ" where any target is at fault, "open" where any was not judged."""
        levels = {each.level for each in self.cells}
        differ = ["differ"] if self.at_fault else []
        return [*differ, *(["open"] if "open" in levels else []), *([] if differ else ["agree"])]


@dataclass(frozen=True)
class CaseChoices:
    """What the list of cases can be filtered by, beside words."""

    outcome: Sequence[str]
    target: Sequence[str]
    """Those that are at fault anywhere."""
    mistake: Sequence[str]
    """Those that any case shows."""
    shown_by: dict[str, tuple[str, ...]]
    """Case -> the mistakes that it shows."""
    words: dict[str, str]
    """Case -> what is said of it elsewhere on the page."""


@dataclass(frozen=True)
class HeatMap:
    targets: tuple[str, ...]
    rows: tuple[HeatRow, ...]


def steps_below(value: float, steps: Sequence[float]) -> int:
    """How many of `steps` the value is above; NaN is above all."""
    return len(steps) if math.isnan(value) else sum(value > step for step in steps)


def case_choices(heat: HeatMap, texts: Mapping[str, CaseText]) -> CaseChoices:
    shown_by = {row.case: texts[row.case].separates for row in heat.rows if row.case in texts}
    outcomes = {outcome for row in heat.rows for outcome in row.outcomes}
    at_fault = {target for row in heat.rows for target in row.at_fault}
    return CaseChoices(
        outcome=[outcome for outcome in ("differ", "agree", "open") if outcome in outcomes],
        target=[target for target in heat.targets if target in at_fault],
        mistake=sorted({mistake for mistakes in shown_by.values() for mistake in mistakes}),
        shown_by=shown_by,
        words={case: f"{texts[case].why} {texts[case].source}" for case in shown_by},
    )


def heat_map(records: Records) -> HeatMap:
    """In the order in which cases were played, and only with the targets that were judged at all."""
    by_place: dict[tuple[str, str], list[ComparisonRecord]] = defaultdict(list)
    for comparison in records.comparisons:
        by_place[comparison.case, comparison.target].append(comparison)
    cases = dict.fromkeys(comparison.case for comparison in records.comparisons if comparison.kind is Kind.law)
    judged = {target for _, target in by_place}
    targets = tuple(target.target for target in own_first(records) if target.target in judged)
    rows = (
        HeatRow(case, tuple(HeatCell(target, worst_cell(by_place.get((case, target), []))) for target in targets))
        for case in cases
    )
    return HeatMap(targets, tuple(rows))
