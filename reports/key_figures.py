"""The handful of figures at the head of the report."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.record.kinds import Kind, TrainingResult, Verdict
from harness.record.read import Records
from reports.agreement import Matrix, largest
from reports.curves import implementations
from reports.formats import anchor, fixed, listed, short
from reports.lockstep import LockstepRow, name_of
from reports.training import TrainingRow


@dataclass(frozen=True)
class KeyFigure:
    label: str
    value: str
    why: str
    """Where it comes from, and what to hold it against."""
    unit: str = ""
    section: str = ""
    """The id of the part of the page that it comes from."""


def key_figures(
    records: Records, matrices: Sequence[Matrix], lockstep: Sequence[LockstepRow], trainings: Sequence[TrainingRow]
) -> list[KeyFigure]:
    """At most five; those of parts that the ledger lacks are left out."""
    return [
        *_of_agreement(records, matrices),
        *([_of_lockstep(lockstep)] if lockstep else []),
        *(_of_trainings(records, trainings) if trainings else []),
        *_of_throughput(records),
    ]


def _of_agreement(records: Records, matrices: Sequence[Matrix]) -> Iterator[KeyFigure]:
    own = records.header.own
    worst = largest(matrices, own)
    if worst:
        where = f"{worst.target}, {worst.column} in {worst.record.dtype}, case {worst.record.case}"
        section = anchor("agreement", worst.record.dtype)
        yield KeyFigure(
            "largest error/bound of our own", short(worst.cell.ratio), f"{where}; 1 is the limit", section=section
        )
    law = [
        comparison.verdict
        for comparison in records.comparisons
        if comparison.target in own and comparison.kind is Kind.law
    ]
    if law:
        why = f"of the {len(law):,} of our own that law owes; {law.count(Verdict.inconclusive):,} are inconclusive"
        if unsupported := law.count(Verdict.unsupported):
            why += f", {unsupported:,} unsupported"
        agreeing = f"{law.count(Verdict.agree):,}"
        yield KeyFigure("comparisons of law that agree", agreeing, why, section="verdicts")


def _of_lockstep(rows: Sequence[LockstepRow]) -> KeyFigure:
    furthest = max((row.record for row in rows), key=lambda record: record.share)
    where = f"{name_of(furthest)}, {furthest.tensor}, {furthest.steps} steps in {furthest.dtype}"
    return KeyFigure(
        "lockstep, distance/allowed", short(furthest.share), f"{where}; 1 is the limit", section="lockstep"
    )


def _of_trainings(records: Records, rows: Sequence[TrainingRow]) -> Iterator[KeyFigure]:
    runs = [row.run for row in rows]
    seeds = len({run.seed for run in runs})
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    losses = " · ".join(fixed(loss) for loss in means(runs, "loss").values())
    epochs = listed(dict.fromkeys(str(run.epochs) for run in runs))
    judged = _range(rows, records.header.is_sample)
    why = f"train accuracy {by_name(means(runs, 'train_accuracy'), 3)}; epochs: {epochs}, {judged}"
    yield KeyFigure(f"final loss{over}", losses, why, section="training")
    if records.throughput:
        return  # measured in paired rounds, which decide better
    speeds = means(runs, "examples_per_second")
    fastest = max(speeds, key=lambda name: speeds[name])
    devices = listed(dict.fromkeys(run.device for run in runs if run.implementation == fastest))
    why = f"{fastest} on {devices}; end to end{over}: {by_name(speeds, 0)}"
    yield KeyFigure("fastest training", fixed(speeds[fastest], 0), why, "examples/s", "training")


def _of_throughput(records: Records) -> Iterator[KeyFigure]:
    """The fastest of our own in the paired rounds of the clock that covers most."""
    clock = records.throughput[0].clock if records.throughput else ""
    names = {name.partition("@")[0] for name in records.header.own}
    rows = [row for row in records.throughput if row.clock == clock and row.name in names]
    if rows:
        fastest = max(rows, key=lambda row: row.ratio.median)
        ratios = by_name({row.name: row.ratio.median for row in rows}, 2)
        words = clock.replace("_", " ")
        where = f"{fastest.name} on {fastest.device}, {words}, in paired rounds"
        why = f"{where}; times as fast as {fastest.against}: {ratios}"
        yield KeyFigure(
            "fastest training", fixed(fastest.examples_per_second, 0), why, "examples/s", anchor("throughput", words)
        )


def _range(rows: Sequence[TrainingRow], is_sample: bool) -> str:
    if is_sample:
        return "SAMPLE DATA"
    judged = [row.in_range for row in rows if row.in_range is not None]
    if not judged:
        return "not judged"
    return "all in range" if all(judged) else "NOT all in range"


def means(runs: Sequence[TrainingResult], measure: str) -> dict[str, float]:
    """Implementation -> the mean over its seeds."""
    return {
        name: statistics.fmean(getattr(run, measure) for run in runs if run.implementation == name)
        for name in implementations(runs)
    }


def by_name(values: dict[str, float], digits: int) -> str:
    return ", ".join(f"{name} {fixed(value, digits)}" for name, value in values.items())
