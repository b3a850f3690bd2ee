"""What a probe shows beyond conventions: how the variance is formed, and in how many bits 16-bit input is summed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.judge.expected import expect
from harness.judge.judge import conclusive
from harness.judge.oracle import NoOracleError
from harness.observables import OBSERVABLES, STATISTICS
from harness.probe.hypotheses import SEED
from harness.targets.player import Observation, Player
from reference.conventions import Conventions
from reference.error_bounds import precision_of


def observe(player: Player, conventions: Conventions) -> dict[str, str]:
    """{"variance": "two-pass or as good" | "fast, E[x^2] - E[x]^2", "accumulation": ...}; what does not show is absent.

    In each, the first dtype that shows it decides.
    """
    observed: dict[str, str] = {}
    for dtype in ("float32", "float64"):
        ratio = _largest_ratio(player, conventions, "large_mean_1e4", dtype, ("y", "moving_var"))
        if ratio is not None:
            observed["variance"] = "two-pass or as good" if ratio <= 1 else "fast, E[x^2] - E[x]^2"
            break
    for dtype in ("bfloat16", "float16"):
        ratio = _largest_ratio(player, conventions, "sixteen_bits_thousand", dtype, STATISTICS)
        if ratio is not None:
            bits = "float32 or wider" if ratio <= 1 else f"fewer bits than float32 ({ratio:.2g} bounds off)"
            observed["accumulation"] = f"{dtype} input: {bits}"
            break
    return observed


def _largest_ratio(
    player: Player, conventions: Conventions, case_id: str, dtype: str, observables: tuple[str, ...]
) -> float | None:
    """The largest error/bound of the case's first training step. None where nothing could be compared."""
    if dtype not in player.describe().dtypes:
        return None
    case = replace(BY_ID[case_id], script=("train",))
    script = case.make(dtype, SEED, conventions.momentum_for(case.new_weight))
    try:
        expected = expect(script, conventions)
    except NoOracleError:
        return None
    answer = player.play(script, conventions.channel_axis)
    if not isinstance(answer, Observation):
        return None
    ratios = [
        _ratio(result.values[name], of_step.values[name], of_step.bounds[name], _unit_roundoff(name, dtype))
        for result, of_step in zip(answer.steps, expected, strict=False)
        for name in observables
        if name in result.values and result.values[name].shape == of_step.values[name].shape
    ]
    return max(ratios, default=None)


def _unit_roundoff(observable: str, dtype: str) -> float:
    return OBSERVABLES[observable].unit_roundoff(precision_of(dtype))


def _ratio(got: np.ndarray, want: np.ndarray, bound: np.ndarray, u: float) -> float:
    """The largest |got - want|/bound where that proves something; infinite where a number is not finite."""
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(np.float64) - want.astype(np.float64))
        ratio = np.where(conclusive(bound, want, u), error / bound, 0.0)
    return float(np.where(np.isfinite(ratio), ratio, np.inf).max())
