"""Beside each other, two layers that return the same are the same, also where both overflow or divide by zero."""

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.diagnose.mistakes.gamma_and_beta import BetaIgnored
from harness.judge.beside import beside
from harness.judge.oracle import OracleLayer
from harness.judge.pairs import compare_pairs
from harness.judge.report import TargetReport
from harness.targets.in_process import InProcessTarget
from tests.small_evidence import D2L, Target, case, play


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


LAW, POLICY = case("law"), case("policy", policy="all")


def reported(*played):
    return TargetReport("t", D2L, played=[*played])


def test_where_honest_layers_may_differ_nothing_is_set_beside_each_other():
    a, b = (reported(play(layer, POLICY, "float64")) for layer in (OracleLayer, BetaIgnored))
    assert beside(a, a) == beside(a, b) == []
    both, other = (
        reported(*(play(layer, of, "float64") for of in (POLICY, LAW))) for layer in (OracleLayer, BetaIgnored)
    )
    assert {line.case for line in beside(both, other)} == {"law"}
    assert beside(both, a) == []  # the other was not played on the rest


def test_an_array_of_another_shape_leaves_the_rest_of_its_step():
    flat = Target(change=lambda _, name, array: array.ravel() if name == "y" else array)
    a, b = reported(play(OracleLayer, LAW, "float64")), reported(play(flat, LAW, "float64"))
    every = {line.column for line in beside(a, a)}
    assert {line.column for line in beside(a, b)} == {line.column for line in beside(b, a)} == every - {"y", "eval y"}


def test_no_difference_beside_no_bound_is_none():
    """Prediction leaves the averages alone, to the last bit: a bound of 0."""
    still = case("still", script=("eval",))
    a, b = (reported(play(OracleLayer, still, "float64")) for _ in range(2))
    assert not a.played[0].expected[0].bounds["moving_mean"].any()
    averages = [line for line in beside(a, b) if "moving" in line.column]
    assert [(line.ratio, line.apart, line.a_off, line.same) for line in averages] == [(0.0, 0.0, 0.0, True)] * 2
    moved = Target(change=lambda _, name, array: array + 1e-9 if "moving" in name else array)
    assert not any(line.same for line in beside(a, reported(play(moved, still, "float64"))) if "moving" in line.column)
