"""What shows directly, before any hypothesis: on which axis the channels lie, and what one value per channel does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.judge.expected import expect
from harness.probe.hypotheses import MOMENTUM, SEED
from harness.targets.player import Death, Player
from reference.conventions import D2L

AXIS_CASES = ("rank4", "rank3", "rank5")
ABOUT_EQUAL = 1e-3
"""How far y may be off: x*scale + shift leaves about 1e-4 of float32's x_hat, and other values are 0.5 away."""


def channel_axis(player: Player, dtype: str, ranks: tuple[int, ...]) -> tuple[int, bool]:
    """(1 or -1, whether that shows): the axis on which y is normalized per channel, or the one not refused."""
    for case in (BY_ID[identity] for identity in AXIS_CASES):
        if case.ndim in ranks:
            shares = {axis: _share_normalized(player, case.id, dtype, axis) for axis in (1, -1)}
            return max(shares, key=lambda axis: shares[axis]), shares[1] != shares[-1]
    return 1, False


def _share_normalized(player: Player, case_id: str, dtype: str, axis: int) -> float:
    """The share of y's values that agree with a normalization per channel, whatever eps and momentum are."""
    script = BY_ID[case_id].make(dtype, SEED, MOMENTUM)
    answer = player.play(script, axis)
    if isinstance(answer, Death):
        return 0.0
    shares = [0.0]
    for result, expected in zip(answer.steps, expect(script, replace(D2L, single_value="any")), strict=False):
        got, want = result.values.get("y"), expected.values.get("y")
        if got is not None and want is not None and got.shape == want.shape:
            shares.append(float((np.abs(got.astype(np.float64) - want) < ABOUT_EQUAL).mean()))
    return max(shares)


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
