"""Known mistakes where the table of `test_one_mistake.py` has one small case: other ranks, types and conventions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.script import numpy_dtype
from harness.diagnose.mistakes import axes, dx, parameter_gradients
from harness.diagnose.mistakes.rounded_parameters import RoundedParameters
from harness.diagnose.mistakes.statistics import MeanMomentumInverted, VarMomentumInverted
from harness.judge.oracle import OracleLayer
from reference.batch_norm import to_rows
from tests.small_evidence import D2L, TORCH, case

IMAGES = case("images", shape=(3, 3, 3, 3), script=("train", "eval")).make("float64", 0, 0.9)
ROWS = replace(
    IMAGES, steps=tuple(replace(step, x=to_rows(step.x, 1), dy=to_rows(step.dy, 1)) for step in IMAGES.steps)
)
IN_DX = (dx.DxIgnoresMean, dx.DxIgnoresVar, dx.DxIgnoresBoth, dx.EvalDxAsTraining, dx.EvalDxWithMean)
AVERAGED = [m for m in parameter_gradients.GRADS_AVERAGED if "batch" not in m.__name__ and "InTrain" not in m.__name__]
GRADIENTS = (*IN_DX, *parameter_gradients.DGAMMA, *AVERAGED)
"""Without what divides by the batch size, which does tell images from rows, and some of each kind."""


def played(mistake, script, conventions=D2L):
    layer = mistake.from_setup(script.setups[0], conventions)
    return [layer.play(step) for step in script.steps]


@pytest.mark.parametrize("mistake", GRADIENTS, ids=lambda mistake: mistake.__name__)
def test_a_mistake_in_a_gradient_sees_rows_alone(mistake):
    """Images are so many rows more."""
    for of_images, of_rows in zip(played(mistake, IMAGES), played(mistake, ROWS), strict=True):
        for name, value in of_images.items():
            rows = to_rows(value, 1) if value.ndim > 1 else value
            assert rows.astype(float) == pytest.approx(of_rows[name].astype(float)), name


@pytest.mark.parametrize("mistake", axes.WRONG_AXES, ids=lambda mistake: mistake.__name__)
def test_wrong_axes_give_what_any_layer_gives(mistake):
    for got, want in zip(played(mistake, IMAGES), played(OracleLayer, IMAGES), strict=True):
        assert {name: value.shape for name, value in got.items()} == {name: v.shape for name, v in want.items()}
        assert got["dbeta"].sum() == pytest.approx(want["dbeta"].sum())  # all of dy, over whatever axis


@pytest.mark.parametrize(("mistake", "axis"), [("LastAxis", -1), ("FirstAxis", 0), ("SecondAxis", 2)])
def test_channels_on_another_axis_are_those_of_a_layer_that_has_them_there(mistake, axis):
    moved = replace(IMAGES, steps=tuple(
        replace(step, x=np.moveaxis(step.x, axis, 1), dy=np.moveaxis(step.dy, axis, 1)) for step in IMAGES.steps
    ))  # fmt: skip
    for got, want in zip(played(getattr(axes, mistake), IMAGES), played(OracleLayer, moved), strict=True):
        for name, value in want.items():
            back = np.moveaxis(value, 1, axis) if value.ndim > 1 else value
            assert got[name].astype(float) == pytest.approx(back.astype(float)), name


def test_bessels_factor_is_in_what_is_averaged_the_wrong_way_round():
    x, setup = ROWS.steps[0].x, ROWS.setups[0]
    got = played(VarMomentumInverted, ROWS, replace(TORCH, momentum="keep"))[0]
    assert got["moving_var"].astype(float) == pytest.approx(0.1 * setup.moving_var + 0.9 * x.var(axis=0, ddof=1))
    assert got["moving_mean"].astype(float) == pytest.approx(0.9 * setup.moving_mean + 0.1 * x.mean(axis=0))
    got = played(MeanMomentumInverted, ROWS)[0]
    assert got["moving_mean"].astype(float) == pytest.approx(0.1 * setup.moving_mean + 0.9 * x.mean(axis=0))


def test_parameters_are_rounded_to_16_bits_where_x_is():
    script = case("narrow", script=("train", "eval")).make("bfloat16", 0, 0.9)
    setup = script.setups[0]
    narrow = {name: getattr(setup, name).astype(numpy_dtype("bfloat16")).astype(np.float32) for name in
              ("gamma", "beta")}  # fmt: skip
    got, want = (played(layer, replace(script, setups=(of,)))[0] for layer, of in
                 ((RoundedParameters, setup), (OracleLayer, replace(setup, **narrow))))  # fmt: skip
    assert all(np.array_equal(got[name], value) for name, value in want.items())
    predicted, in_full = played(RoundedParameters, script)[1], played(OracleLayer, script)[1]
    assert np.array_equal(predicted["moving_mean"], in_full["moving_mean"])
    assert not np.array_equal(predicted["dgamma"], in_full["dgamma"])  # by rounded averages
    wide = replace(script, setups=(replace(setup, dtype="float32"),))
    assert np.array_equal(played(RoundedParameters, wide)[1]["y"], played(OracleLayer, wide)[1]["y"])
