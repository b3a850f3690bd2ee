"""Are trainings by several frameworks equally good? Over seeds, which the frameworks share, so that they pair up.

That no difference is significant would say little: few seeds never find one. So equivalence is what is tested, by two
one-sided t-tests of the paired differences against a margin (Schuirmann 1987).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.train.published import PUBLISHED
from harness.train.results import (
    AccuracyRecord,
    BandRow,
    EquivalenceRecord,
    Interval,
    PublishedPlace,
    TrainingResult,
)

MARGIN = 0.005
"""Of train accuracy: about the range over which independent runs of one framework are spread."""
LEVEL = 0.05
MEASURES = {
    "loss": (0.0, math.inf),
    "train_accuracy": (0.0, 1.0),
    "test_accuracy": (0.0, 1.0),
    "population_test_accuracy": (0.0, 1.0),
}
"""Measure -> what it can be: an interval of two seeds would reach far beyond."""

Runs = Sequence[TrainingResult]


def accuracy(runs: Runs) -> tuple[AccuracyRecord, ...]:
    """Each implementation over its seeds."""
    return tuple(
        AccuracyRecord(
            implementation=name,
            seeds=tuple(run.seed for run in of_name),
            epochs=of_name[0].epochs,
            measures=intervals(of_name),
            band=band(of_name),
            published=published_place(of_name, PUBLISHED.test_accuracy),
        )
        for name, of_name in by_implementation(runs).items()
    )


def by_implementation(runs: Runs) -> dict[str, list[TrainingResult]]:
    groups: dict[str, list[TrainingResult]] = {}
    for run in runs:
        groups.setdefault(run.implementation, []).append(run)
    return groups


def intervals(runs: Runs) -> dict[str, Interval]:
    """Of each measure that every run has."""
    values = {measure: [getattr(run, measure) for run in runs] for measure in MEASURES}
    return {
        measure: interval(of_runs, *MEASURES[measure]) for measure, of_runs in values.items() if None not in of_runs
    }


def interval(values: list[float], least: float = -math.inf, most: float = math.inf) -> Interval:
    """Mean, standard deviation, and the 95% confidence interval of the mean by Student's t.

    least, most: what the quantity can be; the interval ends there at the latest.
    """
    from scipy import stats

    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, deviation=None, low=None, high=None)
    deviation = statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Interval(mean, deviation, low=max(mean - half, least), high=min(mean + half, most))


def band(runs: Runs) -> tuple[BandRow, ...]:
    """Test accuracy by epoch: lowest, mean, and highest of the seeds."""
    rows = []
    for records in zip(*(run.history for run in runs), strict=True):
        values = [record.test_accuracy for record in records]
        rows.append(BandRow(records[0].epoch, min(values), statistics.fmean(values), max(values)))
    return tuple(rows)


def published_place(runs: Runs, published: float) -> PublishedPlace:
    """Where a published test accuracy falls among those of the last epochs, and among those of all epochs."""
    ends = [run.test_accuracy for run in runs]
    every_epoch = [record.test_accuracy for run in runs for record in run.history]
    return PublishedPlace(
        value=published,
        ends_below=sum(accuracy < published for accuracy in ends),
        ends=len(ends),
        epochs_below=sum(accuracy < published for accuracy in every_epoch),
        epochs=len(every_epoch),
    )


def equivalence(runs: Runs, measure: str = "train_accuracy", margin: float = MARGIN) -> tuple[EquivalenceRecord, ...]:
    """Each pair of implementations over the seeds that both have; pairs with fewer than two are left out."""
    groups = by_implementation(runs)
    least, most = MEASURES[measure]
    furthest = most - least  # two values of the measure are no further apart
    records = []
    for a, b in combinations(groups, 2):
        of_a, of_b = ({run.seed: getattr(run, measure) for run in groups[name]} for name in (a, b))
        seeds = sorted(of_a.keys() & of_b.keys())
        if len(seeds) < 2:
            continue
        test = two_one_sided([of_a[seed] - of_b[seed] for seed in seeds], margin)
        records.append(
            EquivalenceRecord(
                a=a,
                b=b,
                measure=measure,
                margin=margin,
                seeds=len(seeds),
                difference=test.difference,
                low=max(test.low, -furthest),
                high=min(test.high, furthest),
                p=test.p,
                equivalent=test.equivalent,
            )
        )
    return tuple(records)


@dataclass(frozen=True)
class TwoOneSided:
    difference: float
    """The mean."""
    low: float
    """The 90% confidence interval of the mean, which lies within the margin exactly where p < 0.05."""
    high: float
    p: float

    @property
    def equivalent(self) -> bool:
        return self.p < LEVEL


def two_one_sided(differences: list[float], margin: float) -> TwoOneSided:
    """The two one-sided t-tests of paired differences against -margin and margin; two differences at the least."""
    from scipy import stats

    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    if error == 0:  # the same difference in every pair: nothing is uncertain
        return TwoOneSided(mean, mean, mean, p=0.0 if abs(mean) < margin else 1.0)
    freedom = len(differences) - 1
    p = float(max(stats.t.sf((mean + margin) / error, freedom), stats.t.cdf((mean - margin) / error, freedom)))
    half = float(stats.t.ppf(1 - LEVEL, freedom)) * error
    return TwoOneSided(mean, mean - half, mean + half, p)
