"""What a probe sees beyond conventions: how the variance is formed, and in how many bits 16-bit input is summed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.judge.expected import expect
from harness.judge.judge import conclusive
from harness.judge.oracle import NoOracleError
from harness.observables import OBSERVABLES
from harness.targets.player import Observation, Player
from reference.conventions import Conventions
from reference.error_bounds import precision_of

SEED = 0


def observe(player: Player, conventions: Conventions) -> dict[str, str]:
    """{"variance": "two-pass or as good" | "fast, E[x^2] - E[x]^2", "accumulation": ...}; what is unseen is absent."""
    dtypes = player.describe().dtypes
    found: dict[str, str] = {}
    for dtype in ("float32", "float64"):
        if dtype in dtypes:
            ratio = _largest_ratio(player, conventions, "large_mean_1e4", dtype, ("y", "moving_var"))
            if ratio is not None:
                found["variance"] = "two-pass or as good" if ratio <= 1 else "fast, E[x^2] - E[x]^2"
                break
    for dtype in ("bfloat16", "float16"):
        if dtype in dtypes:
            ratio = _largest_ratio(player, conventions, "sixteen_bits_thousand", dtype, ("moving_mean", "moving_var"))
            if ratio is not None:
                bits = "float32 or wider" if ratio <= 1 else f"fewer bits than float32 ({ratio:.2g} bounds off)"
                found["accumulation"] = f"{dtype} input: {bits}"
                break
    return found


def _largest_ratio(
    player: Player, conventions: Conventions, case_id: str, dtype: str, names: tuple[str, ...]
) -> float | None:
    """The largest error/bound of the first training step in `names`; None where nothing was to be seen."""
    case = replace(BY_ID[case_id], script=("train",))
    script = case.make(dtype, SEED, conventions.momentum_for(case.new_weight))
    try:
        expected = expect(script, conventions)
    except NoOracleError:
        return None
    answer = player.play(script, conventions.channel_axis)
    if not isinstance(answer, Observation):
        return None
    worst = None
    unit = precision_of(dtype)
    for step, want in zip(answer.steps, expected, strict=False):
        for name in names:
            if step.op != "train" or name not in step.values or step.values[name].shape != want.values[name].shape:
                continue
            with np.errstate(all="ignore"):
                error = np.abs(step.values[name].astype(np.float64) - want.values[name].astype(np.float64))
                proves = conclusive(want.bounds[name], want.values[name], OBSERVABLES[name].unit_roundoff(unit))
                ratio = np.where(proves, error / want.bounds[name], 0.0)
            ratio = np.where(np.isfinite(ratio), ratio, np.inf)
            worst = max(worst or 0.0, float(ratio.max()))
    return worst
