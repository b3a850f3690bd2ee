"""How long the checks take, target by target, each round in a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter

from harness.bench.results import SuiteTiming
from harness.cases.catalogue import suite
from harness.check import CheckOptions, check
from harness.stopwatch import timed
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.two_processes import processes_here

PARTS = {
    "start": "its process starts, and its framework is imported",
    "settle": "tried on small inputs, and its conventions probed",
    "expect": "the oracle's values and their bounds, waited for: they are looked up while the case before is played",
    "play": "its own calls, compilation included",
    "judge": "the last of what came compared: the rest was while the next case was played",
    "again": "failures, or one play, repeated",
    "diagnose": "mistakes replayed",
    "notes": "what is no verdict",
}
"""What a check does, in this order: `harness.check` names these parts."""


def measure(
    targets: Sequence[str], suite_name: str, rounds: int, on_round: Callable[[int, str], None] | None = None
) -> Iterator[SuiteTiming]:
    """A timing for each of `targets`, or of the installed built-in ones. on_round: called before each, from 1."""
    cases = suite(suite_name)
    for name in targets or [name for name in BUILT_IN if is_installed(name)]:
        seconds, comparisons, parts = [], 0, []
        for number in range(1, rounds + 1):
            if on_round:
                on_round(number, name)
            started = perf_counter()
            with timed() as of_round:
                (report,) = check([name], CheckOptions(cases, processes=processes_here(), again=True))
            seconds.append(perf_counter() - started)
            parts.append(of_round)
            comparisons = len(report.judgements)
        yield timing(name, suite_name, seconds, comparisons, parts)


def timing(
    name: str, suite_name: str, seconds: Sequence[float], comparisons: int, parts: Sequence[Mapping[str, float]]
) -> SuiteTiming:
    """seconds, parts: of each round; parts as `harness.stopwatch.timed` gives them."""
    median = statistics.median(seconds)
    return SuiteTiming(
        name=name,
        suite=suite_name,
        seconds=median,
        rounds=tuple(seconds),
        comparisons=comparisons,
        comparisons_per_second=comparisons / median,
        parts={part: statistics.median(of_round.get(part, 0.0) for of_round in parts) for part in PARTS},
    )
