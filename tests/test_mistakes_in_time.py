"""Each mistake of using what has been overtaken, beside right layers that were stopped earlier."""

from dataclasses import replace

import numpy as np
import pytest

from harness.cases.script import Step
from harness.diagnose.mistakes import derivatives, other_averages, rounded_settings, stale
from harness.judge.oracle import OracleLayer
from tests.small_evidence import D2L, case

SCRIPT = case("t", script=("train", "train", "eval", "eval")).make("float64", 0, 0.9)
FIRST, SECOND, PREDICT, AGAIN = SCRIPT.steps
RESTORE = Step("restore")


def after(mistake, *steps, setup=SCRIPT.setups[0], conventions=D2L):
    """What the layer gives in the last of these steps, in float64."""
    layer = mistake.from_setup(setup, conventions)
    for step in steps:
        values = layer.play(step)
    return {name: value.astype(np.float64) for name, value in values.items()}


def same(a, b, *names):
    return all(np.allclose(a[name], b[name], rtol=1e-12, atol=0) for name in names or a.keys() & b.keys())


LATE = after(OracleLayer, FIRST, SECOND, PREDICT)
EARLY = after(OracleLayer, FIRST, PREDICT)
AS_BUILT = after(OracleLayer, replace(FIRST, op="eval"), PREDICT)


def test_prediction_by_what_was_before_the_last_update():
    got = after(stale.StaleStatistics, FIRST, SECOND, PREDICT)
    assert same(got, EARLY, "y", "dx", "dgamma", "dbeta")
    assert same(got, LATE, "moving_mean", "moving_var")
    assert same(after(stale.StaleStatistics, PREDICT), AS_BUILT)
    assert same(after(stale.StaleStatistics, FIRST, SECOND, RESTORE, PREDICT), got)


def test_what_loading_makes_of_it():
    by_loaded = after(stale.StaleUntilRestored, FIRST, SECOND, RESTORE, PREDICT)
    assert same(by_loaded, LATE)
    by_new = after(stale.StaleAfterRestore, FIRST, SECOND, RESTORE, PREDICT)
    new = replace(SCRIPT.setups[0], moving_mean=np.zeros(3), moving_var=np.ones(3))
    assert same(by_new, after(OracleLayer, PREDICT, setup=new), "y", "dx", "dgamma")
    assert same(after(stale.StaleAfterRestore, FIRST, RESTORE, SECOND, PREDICT), EARLY, "y")


def test_an_update_that_is_put_off():
    shown = after(stale.OneUpdateLate, FIRST)
    assert same(shown, {"moving_mean": SCRIPT.setups[0].moving_mean, "moving_var": SCRIPT.setups[0].moving_var})
    assert same(after(stale.OneUpdateLate, FIRST, SECOND, PREDICT), EARLY)
    assert same(after(stale.OneUpdateLate, FIRST, SECOND, RESTORE, PREDICT), EARLY)
    once_more = after(OracleLayer, FIRST, AGAIN_TRAINED, PREDICT)
    assert same(after(stale.OneUpdateLost, FIRST, SECOND, RESTORE, AGAIN_TRAINED, RESTORE, PREDICT), EARLY, "y")
    assert not same(once_more, EARLY, "y")


AGAIN_TRAINED = replace(AGAIN, op="train")
IDENTITY = {"gamma": np.ones(3), "beta": np.zeros(3), "moving_mean": np.zeros(3), "moving_var": np.ones(3)}


def test_a_fold_that_is_made_once():
    folded_at_first = after(stale.StaleFold, PREDICT, FIRST, SECOND, PREDICT)
    assert same(folded_at_first, AS_BUILT, "y", "dx", "dgamma", "dbeta")
    assert same(folded_at_first, LATE, "moving_mean", "moving_var")
    assert same(after(stale.StaleFold, FIRST, SECOND, PREDICT), LATE)
    assert same(after(stale.StaleFold, PREDICT, FIRST, SECOND, RESTORE, PREDICT), LATE)


def test_what_was_folded_is_debiased_already():
    debiased = replace(D2L, debias=True)
    right, folded = (after(layer, FIRST, SECOND, PREDICT, conventions=debiased) for layer in
                     (OracleLayer, stale.StaleFold))  # fmt: skip
    assert same(folded, right)


def test_a_fold_that_is_made_when_the_layer_is():
    of_a_new_layer = after(OracleLayer, PREDICT, setup=replace(SCRIPT.setups[0], **IDENTITY))
    assert same(after(stale.FoldedWhenBuilt, FIRST, SECOND, PREDICT), AS_BUILT, "y", "dx")
    assert same(after(stale.FoldedWhenBuilt, FIRST, SECOND, RESTORE, PREDICT), of_a_new_layer, "y", "dx")
    assert same(after(stale.FoldedWhenLoaded, FIRST, SECOND, PREDICT), AS_BUILT, "y")
    assert same(after(stale.FoldedWhenLoaded, FIRST, RESTORE, SECOND, PREDICT), EARLY, "y")


def test_a_fold_that_is_lost_when_a_state_is_loaded():
    of_a_new_layer = after(OracleLayer, PREDICT, setup=replace(SCRIPT.setups[0], **IDENTITY))
    assert same(after(stale.FoldLostWhenLoaded, FIRST, SECOND, PREDICT), LATE)
    assert same(after(stale.FoldLostWhenLoaded, FIRST, SECOND, RESTORE, PREDICT), of_a_new_layer, "y")
    assert same(after(stale.FoldLostWhenLoaded, FIRST, RESTORE, SECOND, PREDICT), LATE)


def test_a_part_of_a_fold():
    steps = (PREDICT, FIRST, SECOND, PREDICT)
    in_y = after(stale.in_y(stale.StaleFold), *steps)
    assert same(in_y, AS_BUILT, "y")
    assert same(in_y, LATE, "dx", "dgamma", "dbeta")
    of_scale = after(stale.of_scale(stale.StaleFold), *steps)
    mixed = replace(SCRIPT.setups[0], moving_mean=LATE["moving_mean"])
    assert same(of_scale, after(OracleLayer, PREDICT, setup=mixed), "y", "dx", "dgamma")


# --- settings, averages ---


@pytest.mark.parametrize(
    ("mistake", "eps", "momentum"),
    [("RoundedSettings", True, True), ("RoundedEps", True, False), ("RoundedMomentum", False, True)],
)
def test_settings_are_rounded_in_float64_alone(mistake, eps, momentum):
    given = replace(SCRIPT.setups[0], eps=1e-5, momentum=0.9)
    made = getattr(rounded_settings, mistake).from_setup(given, D2L)
    assert made.eps == (float(np.float32(1e-5)) if eps else 1e-5)
    assert made.momentum == (float(np.float32(0.9)) if momentum else 0.9)
    narrow = replace(given, dtype="float32")
    assert getattr(rounded_settings, mistake).from_setup(narrow, D2L).eps == 1e-5
    by_default = replace(given, momentum=None)
    assert getattr(rounded_settings, mistake).from_setup(by_default, D2L).momentum == D2L.default_momentum


def test_the_weight_of_the_new_batch_may_be_what_is_rounded():
    made = rounded_settings.RoundedNewWeight.from_setup(replace(SCRIPT.setups[0], momentum=0.9), D2L)
    assert made.momentum == 1 - float(np.float32(1 - 0.9))
    keep, new = rounded_settings.RoundedWeights.from_setup(replace(SCRIPT.setups[0], momentum=0.9), D2L).weights()
    assert (float(keep), float(new)) == (float(np.float32(0.9)), float(np.float32(0.1)))


@pytest.mark.parametrize(
    ("mistake", "weights"),
    [("CumulativeCountsStart", (1 / 2, 1 / 3)), ("CumulativeInverted", (0.0, 1 / 2)),
     ("CumulativeByDefault", (0.1, 0.1)), ("CumulativeOfLast", (1.0, 1.0))],
)  # fmt: skip
def test_the_weights_of_a_cumulative_average(mistake, weights):
    layer = getattr(other_averages, mistake).from_setup(replace(SCRIPT.setups[0], cumulative=True), D2L)
    found = []
    for step in (FIRST, SECOND):
        found.append(float(layer.weights()[1]))
        layer.play(step)
    assert found == pytest.approx(weights)
    ordinary = getattr(other_averages, mistake).from_setup(SCRIPT.setups[0], D2L)
    assert [float(weight) for weight in ordinary.weights()] == pytest.approx([0.9, 0.1])


# --- derivatives of prediction ---

OF_DERIVATIVES = case("d", script=("eval_jvp", "eval_double", "train_jvp", "train_double")).make("float64", 0, 0.9)
JVP, DOUBLE, TRAIN_JVP, TRAIN_DOUBLE = OF_DERIVATIVES.steps


def derived(mistake, step, **changes):
    if changes:
        step = replace(step, directions=replace(step.directions, **changes))
    return after(mistake, step, setup=OF_DERIVATIVES.setups[0])


def test_prediction_differentiated_as_training_is():
    for step, trained in ((JVP, TRAIN_JVP), (DOUBLE, TRAIN_DOUBLE)):
        as_training = derived(OracleLayer, replace(step, op=trained.op))
        assert same(derived(derivatives.PredictionByBatch, step), as_training)
        assert not same(derived(derivatives.FrozenFormula, step), as_training)
        assert not same(derived(derivatives.FrozenFormula, step), derived(OracleLayer, step))


def test_training_s_formula_on_prediction_s_statistics():
    """Where the moving statistics are the batch's own it is training's derivative."""
    x = JVP.x
    setup = replace(OF_DERIVATIVES.setups[0], moving_mean=x.mean(axis=0), moving_var=x.var(axis=0))
    got = after(derivatives.FrozenFormula, JVP, setup=setup)
    assert np.allclose(got["ty"], after(OracleLayer, replace(JVP, op="train_jvp"), setup=setup)["ty"], rtol=1e-9)


def test_what_is_left_out_of_prediction_s_derivatives():
    zero = np.zeros(3)
    without = {"gamma": zero, "beta": zero}
    assert same(derived(derivatives.FrozenJvpWithoutParameters, JVP), derived(OracleLayer, JVP, **without))
    without_parameters = derived(derivatives.FrozenDoubleWithoutParameters, DOUBLE)
    assert same(without_parameters, derived(OracleLayer, DOUBLE, **without))
    right = derived(OracleLayer, DOUBLE)
    for mistake, name in (("FrozenNoDx2", "dx2"), ("FrozenNoDgamma2", "dgamma2")):
        got = derived(getattr(derivatives, mistake), DOUBLE)
        assert (got.pop(name) == 0).all()
        assert same(got, right)
    no_ddy = derived(derivatives.FrozenNoDdy, DOUBLE)
    assert same(no_ddy, right, "dx2", "dgamma2")
    assert same(no_ddy, derived(OracleLayer, DOUBLE, x=0 * DOUBLE.directions.x), "ddy")
