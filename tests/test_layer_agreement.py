"""Which of two layers is wrong where they disagree: `bench layer` decides nothing for ours, and says it of native's."""

from __future__ import annotations

import numpy as np
import pytest

from harness.bench import layer
from harness.bench.contest import COPY, NATIVE, OURS, SMALL, Contest, arrays
from harness.bench.options import LayerCase, LayerOptions
from harness.bench.results import Decision

SHAPE = (64, 3, 5, 7)


def case(framework: str = "torch", mode: str = "training") -> LayerCase:
    return LayerCase(framework, SHAPE, "channels last", "float32", mode, "both", "cpu", None)


def right(last: bool, mode: str = "training") -> list[np.ndarray]:
    """[y, dx] of gamma 1 and beta 0, eps 1e-5, by the formula."""
    x, dy = (array.astype(np.float64) for array in arrays(SHAPE))
    axes, n = (0, 2, 3), 64 * 5 * 7
    if mode == "prediction":  # from a mean of 0 and a variance of 1
        values = [x / np.sqrt(1 + 1e-5), dy / np.sqrt(1 + 1e-5)]
    else:
        scale = 1 / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        y = (x - x.mean(axes, keepdims=True)) * scale
        sums = [(dy * other).sum(axes, keepdims=True) / n for other in (1, y)]
        values = [y, scale * (dy - sums[0] - y * sums[1])]
    return [np.moveaxis(a, 1, -1) if last else a for a in values]


def contest(ours: list[np.ndarray], native: list[np.ndarray]) -> Contest:
    found = {OURS: ours, NATIVE: native}
    steps = dict.fromkeys((OURS, NATIVE, SMALL, COPY), lambda: None)
    nothing = {OURS: None, NATIVE: None}
    return Contest(steps, lambda _: None, lambda name: found[name], nothing, nothing)


@pytest.mark.parametrize(("framework", "mode"), [("torch", "training"), ("torch", "prediction"), ("jax", "training")])
def test_the_one_that_is_off_is_named(framework, mode):
    of_case = case(framework, mode)
    good = right(framework == "jax", mode)
    off = [good[0], good[1] + 0.01]
    options = LayerOptions(rounds=3, seconds=1e-5)
    for ours, native, is_right, native_is_right in (
        (good, good, True, True),
        (good, off, True, False),
        (off, good, False, True),
        (off, [good[0] + 1, good[1]], False, False),
    ):
        record = layer.compare(of_case, contest(ours, native), options)
        assert (record.decision != Decision.DISAGREES, record.native_is_right) == (is_right, native_is_right)
