"""What paired rounds say: ratios with quartiles, and whether they are more than noise.

What is claimed is the median of the ratios within rounds. A claim that is smaller than the spread of the control, the
baseline's second run over its first, is INCONCLUSIVE. Beside each ratio stands that of the rounds in which the cores
were near each other.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.bench.results import Clock, Decision, Round, Spread, TrainingThroughput

BASELINE, AGAIN, RESIDENT = "tutorial", "tutorial again", "tutorial, data resident"
AGAINST = {Clock.END_TO_END: BASELINE, Clock.STEP: RESIDENT}
"""The baseline of each clock."""
LOSS_TOLERANCE = 1e-3
"""Relative, after two dozen float32 steps: speed counts only with agreement."""
AIMS = {
    ("torch", Clock.END_TO_END): 3.0,
    ("jax", Clock.END_TO_END): 3.0,
    ("numpy", Clock.END_TO_END): 1.0,
    ("torch", Clock.STEP): 1.5,
    ("jax", Clock.STEP): 1.5,
}
NEAR = 1.5
"""Times the least distance of a run; distant cores, where there were any, were from 1.7 times on."""
FLOP_PER_EXAMPLE = 3 * 2 * (24 * 24 * 6 * 25 + 8 * 8 * 16 * 150 + 256 * 120 + 120 * 84 + 84 * 10) - 2 * 24 * 24 * 6 * 25
"""LeNet's convolutions and dense layers, forward and twice that backward, less the images' gradient: 1.5 million."""

Rounds = Sequence[Round]
"""Of one contestant. The first warms up and is left out of all but the losses."""


def compare(rounds: dict[str, tuple[Round, ...]], examples: int, matmul_flops: float) -> tuple[TrainingThroughput, ...]:
    """A record for each clock and contestant. examples: in a round. matmul_flops: the machine's limit, per second."""
    near = near_rounds(rounds)
    return tuple(
        comparison(name, clock, rounds, near, examples, matmul_flops)
        for clock, against in AGAINST.items()
        if against in rounds
        for name in rounds
    )


def comparison(
    name: str,
    clock: Clock,
    rounds: dict[str, tuple[Round, ...]],
    near: dict[str, set[int]],
    examples: int,
    matmul_flops: float,
) -> TrainingThroughput:
    against = AGAINST[clock]
    own, base = rounds[name], rounds[against]
    paired = ratios(clock, own, base)
    control, ratio = spread(ratios(clock, rounds[AGAIN], rounds[BASELINE])), spread(paired)
    agrees = all(same_loss(a, b) for a, b in zip(own, base, strict=True))
    decision = decide(ratio, control) if agrees else Decision.DISAGREES
    aim = AIMS.get((name.removesuffix(", compiled"), clock))
    speed = examples / statistics.median(seconds(clock, record) for record in own[1:])
    among_near = [paired[number - 1] for number in sorted(near[name] & near[against]) if number > 0]
    distances = [record.core_distance_ns for record in own[1:] if record.core_distance_ns is not None]
    return TrainingThroughput(
        name=name,
        clock=clock,
        against=against,
        control=control,
        ratio=ratio,
        decision=decision,
        aim=aim,
        met=is_met(aim, ratio, decision),
        memory_mb=own[-1].memory_mb,
        threads=own[-1].threads,
        device=own[-1].device,
        how=own[-1].how,
        cpu_ratio=statistics.median(b.cpu_seconds / a.cpu_seconds for a, b in zip(own[1:], base[1:], strict=True)),
        compile_seconds=own[0].compile_seconds,
        rounds=len(own) - 1,
        examples=examples,
        examples_per_second=speed,
        limit_share=speed * FLOP_PER_EXAMPLE / matmul_flops,
        matmul_flops=matmul_flops,
        ratio_near=spread(among_near) if among_near else None,
        rounds_near=len(among_near),
        core_distance_ns=spread(distances) if len(distances) == len(own) - 1 else None,
    )


def seconds(clock: Clock, record: Round) -> float:
    return record.step_seconds if clock == Clock.STEP else record.seconds


def ratios(clock: Clock, own: Rounds, base: Rounds) -> list[float]:
    """How many times faster than the base, in each round but the first."""
    return [seconds(clock, b) / seconds(clock, a) for a, b in zip(own[1:], base[1:], strict=True)]


def near_rounds(rounds: dict[str, tuple[Round, ...]]) -> dict[str, set[int]]:
    """The rounds in which a contestant's cores were about as near as they ever were in this run."""
    distances = {name: [record.core_distance_ns for record in of_name] for name, of_name in rounds.items()}
    least = min((ns for of_name in distances.values() for ns in of_name if ns is not None), default=0.0)
    return {
        name: {number for number, ns in enumerate(of_name) if ns is not None and ns <= NEAR * least}
        for name, of_name in distances.items()
    }


def spread(values: list[float]) -> Spread:
    """Median and quartiles."""
    if len(values) < 2:
        (value,) = values
        return Spread(value, value, value)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def decide(ratio: Spread, control: Spread) -> Decision:
    """INCONCLUSIVE where the ratio is within what the baseline differs from itself, or its quartiles enclose 1."""
    noise = max(control.high, 1 / control.low)
    size = max(ratio.median, 1 / ratio.median)
    if size <= noise or ratio.low <= 1 <= ratio.high:
        return Decision.INCONCLUSIVE
    return Decision.FASTER if ratio.median > 1 else Decision.SLOWER


def is_met(aim: float | None, ratio: Spread, decision: Decision) -> bool | None:
    """None where there is no aim, or nothing is decided."""
    if aim is None or decision in (Decision.INCONCLUSIVE, Decision.DISAGREES):
        return None
    return ratio.median >= aim


def same_loss(a: Round, b: Round) -> bool:
    return abs(a.loss - b.loss) <= LOSS_TOLERANCE * abs(b.loss)
