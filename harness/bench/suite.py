"""How long the checks take, target by target, each round in a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

from harness.bench.results import SuiteTiming
from harness.cases.catalogue import suite
from harness.check import CheckOptions, check
from harness.targets.built_in import BUILT_IN, is_installed


def measure(
    targets: Sequence[str], suite_name: str, rounds: int, on_round: Callable[[int, str], None] | None = None
) -> Iterator[SuiteTiming]:
    """A timing for each of `targets`, or of the installed built-in ones. on_round: called before each, from 1."""
    cases = suite(suite_name)
    for name in targets or [name for name in BUILT_IN if is_installed(name)]:
        seconds, comparisons = [], 0
        for number in range(1, rounds + 1):
            if on_round:
                on_round(number, name)
            started = perf_counter()
            (report,) = check([name], CheckOptions(cases))
            seconds.append(perf_counter() - started)
            comparisons = len(report.judgements)
        median = statistics.median(seconds)
        yield SuiteTiming(
            name=name,
            suite=suite_name,
            seconds=median,
            rounds=tuple(seconds),
            comparisons=comparisons,
            comparisons_per_second=comparisons / median,
        )
