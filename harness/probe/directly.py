"""What shows directly, before any hypothesis: on which axis the channels lie, and what one value per channel does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.probe.hypotheses import MOMENTUM, SEED, expected_of, probing_script
from harness.targets.player import Death, Player
from reference.conventions import D2L

AXIS_CASES = ("rank4", "rank3", "rank5")
ABOUT_EQUAL = 1e-3
"""How far y may be off: x*scale + shift leaves about 1e-4 of float32's x_hat, and other values are 0.5 away."""


BY_CHANCE = 0.5
"""A smaller share of y's values agrees by chance, if at all."""


def channel_axis(player: Player, dtype: str, ranks: tuple[int, ...]) -> tuple[int, bool]:
    """(1 or -1, whether that shows): the axis on which y is normalized per channel, or the one that is not refused."""
    for case in (BY_ID[identity] for identity in AXIS_CASES):
        if case.ndim in ranks:
            fits = {axis: _fit(player, case.id, dtype, axis) for axis in (1, -1)}
            return max(fits, key=lambda axis: fits[axis]), fits[1] != fits[-1]
    return 1, False


def _fit(player: Player, case_id: str, dtype: str, axis: int) -> tuple[float, int]:
    """How well the axis fits: the share of y's values that agree with a normalization per channel, whatever eps and
    momentum are; and, where that says nothing, how many results have the right shape.
    """
    script = probing_script(case_id, dtype)
    answer = player.play(script, axis)
    if isinstance(answer, Death):
        return 0.0, 0
    shares, well_shaped = [0.0], 0
    for result, expected in zip(answer.steps, expected_of(script, replace(D2L, single_value="any")), strict=False):
        well_shaped += sum(value.shape == expected.values[name].shape for name, value in result.values.items())
        got, want = result.values.get("y"), expected.values.get("y")
        if got is not None and want is not None and got.shape == want.shape:
            shares.append(float((np.abs(got.astype(np.float64) - want) < ABOUT_EQUAL).mean()))
    return (share if (share := max(shares)) >= BY_CHANCE else 0.0), well_shaped


def single_value(player: Player, dtype: str, axis: int, ranks: tuple[int, ...]) -> str:
    """What one value per channel gives: "error", "zero" (y is beta) or "any"."""
    case = BY_ID["one_value" if 2 in ranks else "one_value_image"]
    script = case.make(dtype, SEED, MOMENTUM)
    answer = player.play(script, axis)
    if isinstance(answer, Death) or not answer.steps or answer.steps[0].unsupported is not None:
        return "any"
    if answer.steps[0].error:
        return "error"
    y, beta = answer.steps[0].values.get("y"), script.setups[0].beta
    y_is_beta = y is not None and y.shape == case.shape and np.allclose(y.astype(float).ravel(), beta, atol=ABOUT_EQUAL)
    return "zero" if y_is_beta else "any"
