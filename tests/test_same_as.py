"""Beside each other, two layers that return the same are the same, also where both overflow or divide by zero."""

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.beside import beside
from harness.judge.pairs import compare_pairs
from harness.targets.in_process import InProcessTarget


class WithoutEps:
    """Prediction alone; a moving variance of 0 gives infinities and NaN."""

    conventions = "torch"

    def __init__(self, setup):
        self.setup = setup

    def eval(self, x, dy):  # noqa: ARG002 - prediction without a gradient
        shape = (1, -1, *[1] * (x.ndim - 2))
        with np.errstate(all="ignore"):
            scale = (self.setup.gamma / np.sqrt(self.setup.moving_var)).reshape(shape)
            y = (x - self.setup.moving_mean.reshape(shape)) * scale + self.setup.beta.reshape(shape)
        y[..., 0] = np.nan
        return {"y": y}


class Another(WithoutEps):
    def eval(self, x, dy):
        y = super().eval(x, dy)["y"]
        return {"y": np.where(np.isinf(y), -y, y)}


def report(layer):
    return check_target(InProcessTarget(layer), CheckOptions((BY_ID["zero_moving_var"],)))


def test_the_same_infinities_and_nan_are_the_same():
    one, same, other = report(WithoutEps), report(WithoutEps), report(Another)
    assert one.verdict == "differ"
    assert [line.same for line in beside(one, same)] == [True, True]
    assert [line.same for line in beside(one, other)] == [False, False]
    assert {pair.verdict for pair in compare_pairs([one, same])} == {"agree"}
    assert {pair.verdict for pair in compare_pairs([one, other])} == {"differ"}
