"""The oracle as a session: in which mode it says that it is, what a state is loaded into, and what it expects."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.script import Step
from harness.judge.expected import expect
from harness.judge.on_disk import read, written
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import prepare
from tests.small_evidence import D2L, TORCH, case


def layer_of(made, momentum=0.9):
    return OracleLayer.from_setup(made.make("float64", 0, momentum).setups[0], D2L)


def test_the_mode_of_the_latest_step():
    script = case(script=("train", "eval", "train_no_grad", "frozen")).make("float64", 0, 0.9)
    layer = OracleLayer.from_setup(script.setups[0], D2L)
    modes = []
    for step in script.steps:
        layer.play(step)
        modes.append(layer.playing)
    assert modes == ["train", "eval", "train", "eval"]


def test_a_state_is_loaded_into_a_new_layer():
    made = case()
    layer = layer_of(made, momentum=0.75)
    layer.cumulative, layer.absent = True, ("dgamma",)
    layer.restoring = Step("restore")
    other = layer.loaded_into()
    assert type(other) is OracleLayer
    assert (other.eps, other.momentum, other.num_features) == (layer.eps, 0.75, 3)
    assert (other.cumulative, other.absent, other.updates) == (True, ("dgamma",), 0)
    assert other.gamma.dtype == layer.gamma.dtype
    assert other.gamma.tolist() == [1.0, 1.0, 1.0]


def test_or_into_one_that_has_been_used():
    made = case()
    layer, step = layer_of(made), made.make("float64", 0, 0.9).steps[0]
    layer.restoring = replace(step, op="restore_used")
    other = layer.loaded_into()
    assert other.updates == 1
    assert other.average_mean == pytest.approx(0.1 * step.x.mean(axis=0))


# --- what is expected ---


def test_a_new_batch_weighs_in_a_script_what_its_case_says():
    for conventions, momentum in ((D2L, 0.75), (TORCH, 0.25)):
        script = prepare(case(new_weight=0.25), "float32", 0, conventions).script
        assert [setup.momentum for setup in script.setups] == [momentum]


def test_what_predicts_folded_has_wider_bounds_and_the_same_values():
    made = case(script=("eval",))
    plain, folded = (prepare(made, "float32", 0, D2L, folded=by).expected[0] for by in (False, True))
    assert all(np.array_equal(plain.values[name], folded.values[name]) for name in plain.values)
    assert (folded.bounds["y"] >= plain.bounds["y"]).all()
    assert (folded.bounds["y"] > 1.1 * plain.bounds["y"]).any()
    assert (folded.bounds["y"] < 10 * plain.bounds["y"]).all()


def test_a_folded_layer_may_declare_its_sums():
    made = case(shape=(64, 3))
    any_order, wide = (prepare(made, "float32", 0, D2L, how, folded=True).expected[0] for how in ("any", "wide"))
    assert (wide.bounds["dbeta"] < any_order.bounds["dbeta"]).all()


def test_a_moving_variance_of_zero_is_still_a_variance():
    """Its bound is 0 as well, below var + eps: something is known of the channel."""
    script = case(script=("eval",), moving_scale=(1.0, 0.0)).make("float32", 0, 0.9)
    assert np.isfinite(expect(script, D2L)[0].bounds["y"]).all()


def test_an_empty_array_keeps_its_type_on_the_disk():
    (expected,) = expect(case(script=("train",), shape=(0, 3)).make("float64", 0, 0.9), D2L)
    (again,) = read(written([expected]))
    for name, values in expected.values.items():
        assert (again.values[name].dtype, again.values[name].shape) == (values.dtype, values.shape)
