"""Each case about one situation catches a layer that goes wrong there, and that an ordinary case lets pass."""

import warnings

import numpy as np
import pytest

from harness.cases.case import Case
from harness.cases.catalogue import BY_ID, CASES
from harness.cases.script import LAYOUTS
from harness.judge.judge import conclusive
from harness.judge.prepare import prepare
from harness.observables import OBSERVABLES
from harness.targets.play import laid_out
from reference.conventions import PRESETS
from reference.error_bounds import precision_of
from tests.in_process import checked
from tests.targets import one_case
from tests.targets.mutants import large
from tests.targets.mutants.right import D2l

LAYERS = [
    layer
    for module in (one_case, large)
    for layer in vars(module).values()
    if isinstance(layer, type) and layer.__module__ == module.__name__ and "case" in vars(layer)
]
IN_ORDINARY_CASES_TOO = (one_case.AbsoluteGamma,)
"""Cases in which other values than the usual ones are all negative catch what the usual ones catch as well."""


@pytest.fixture(autouse=True)
def _layers_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def played(layer, *cases):
    return checked(layer, cases=tuple(BY_ID[case] for case in cases), diagnosed=False)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_a_case_catches_what_is_wrong_in_its_situation_alone(layer):
    assert played(layer, layer.case).verdict == "differ"
    if layer not in IN_ORDINARY_CASES_TOO:
        assert played(layer, "rank2", "rank4", "five_steps").verdict == "agree"


def test_every_case_of_many_values_has_a_layer_that_it_catches():
    situations = {layer.case for layer in LAYERS}
    assert {case.id for case in CASES if case.values_per_channel > 1024 and case.policy != "all"} - situations == {
        "values_4095"
    }
    assert played(large.TailNotSummed, "values_4095").verdict == "differ"


@pytest.mark.parametrize("case", [case for case in CASES if case.values_per_channel > 1024 and case.policy != "all"],
                         ids=lambda case: case.id)  # fmt: skip
@pytest.mark.parametrize("preset", ["d2l", "torch"])
def test_a_case_of_many_values_proves_something(case, preset):
    for dtype in case.dtypes:
        u = precision_of(dtype)
        for expected in prepare(case, dtype, 0, PRESETS[preset]).expected:
            for name in ("y", "dx", "dbeta", "moving_mean", "moving_var"):
                want, bound = expected.values[name], expected.bounds[name]
                share = conclusive(bound, want, OBSERVABLES[name].unit_roundoff(u)).mean()
                assert share > 0.9, (dtype, name, share)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channel_axis", [1, -1])
def test_an_input_keeps_its_values_however_it_lies(layout, channel_axis):
    x = np.arange(24.0).reshape(2, 3, 4)
    if layout == "broadcast":
        x = np.array(np.broadcast_to(x[:1], x.shape))
    lying = laid_out(x, layout, channel_axis)
    assert lying.shape == x.shape
    assert np.array_equal(lying, x)
    assert not np.shares_memory(lying, x)
    differs = lying.strides != x.strides or not lying.flags.writeable or lying.base is not None
    assert differs == (layout != "plain")


@pytest.mark.parametrize(
    ("layer", "cases", "note"),
    [
        (one_case.EpsOrDefault, ["rank2", "eps_zero"], "eps_zero"),
        (one_case.RefusesTinyEps, ["rank2", "tiny_eps"], "refuses"),
        (one_case.UnbiasedOfOne, ["one_value"], "single_value_spoils"),
        (one_case.BufferUsedAgain, ["rank2"], "result_overwritten"),
    ],
)
def test_behaviour_that_is_no_fault_is_noted(layer, cases, note):
    report = played(layer, *cases)
    assert report.verdict == "agree"
    assert note in {each.id for each in report.notes}
    assert note not in {each.id for each in played(D2l, *cases).notes}


@pytest.mark.parametrize("conventions", [{"preset": "d2l", "single_value": "any"}, None])
def test_a_single_value_that_nobody_declares_is_policy(conventions):
    """A layer that gives x back for one value per channel, and leaves its statistics as they are."""

    class Identity(D2l):
        def train(self, x, dy):
            return super().train(x, dy) if self.count(x) > 1 else {"y": x.copy(), "dx": dy.copy()}

    Identity.conventions = conventions
    report = played(Identity, "rank2", "one_value", "one_value_image")
    assert report.verdict == "agree"
    assert "single_value" in {note.id for note in report.notes}
    Identity.conventions = "d2l"
    assert played(Identity, "rank2", "one_value").verdict == "differ"


def test_parameters_are_given_in_turn():
    setup = BY_ID["negative_gamma"].make("float32", 0, 0.9).setups[0]
    assert setup.gamma.tolist() == [-1.25, -0.75, -1.5, -1.25, -0.75]
    assert setup.gamma.dtype == np.float32


def test_a_step_may_have_a_shape_of_its_own():
    case = Case("some", "why", shape=(4, 5), shapes=((4, 5), (3, 5)), script=("train", "train", "eval"))
    assert [step.x.shape for step in case.make("float32", 0, 0.9).steps] == [(4, 5), (3, 5), (4, 5)]
