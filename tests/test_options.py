"""Options of a layer: what is asked of whom, what a mask means, and that the ordinary cases are what they were."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from harness.cases import options
from harness.cases.catalogue import BY_ID, CASES
from harness.cases.catalogue.options import OPTIONS
from harness.cases.script import Script, Setup, Step
from harness.judge.beside import beside, sentence
from harness.judge.explain import gradient_check, not_shown, resolution
from harness.judge.judgement import Reason, Verdict
from harness.probe.answers import why_moving_var_is_not_numpys
from harness.targets.load import load
from harness.targets.play import play
from harness.targets.recognise import recognise
from harness.targets.wire.request import play_body, script_from
from reference.conventions import PRESETS
from reference.option_batch_norm import BatchNormWithOptions, rows_of_mask
from reference.under_test import NumpyBatchNorm
from tests.in_process import checked
from tests.targets.channels_last import NumpyLayer, torch_layer
from tests.targets.honest import LAYERS
from tests.targets.honest.with_options import with_options
from tests.targets.mutants.options import MaskLeaks, RightD2l, RightTorch
from tests.targets.mutants.right import D2l

ORDINARY = [case for case in CASES if case not in OPTIONS]


@pytest.mark.parametrize("layer", [RightTorch, NumpyBatchNorm])
def test_a_right_layer_agrees_under_every_option(layer):
    report = checked(layer, cases=OPTIONS)
    assert [judgement for judgement in report.judgements if judgement.counts_against] == []
    judged = {judgement.case for judgement in report.judgements if judgement.verdict is Verdict.agree}
    assert judged >= {case.id for case in OPTIONS if case.policy != "all"}
    absent = {j.observable for j in report.judgements if j.case == "gamma_only" and j.reason is Reason.built_without}
    assert absent == {"dbeta"}


@pytest.mark.parametrize("layer", LAYERS[5::14], ids=lambda layer: layer.__name__)
def test_an_honest_algorithm_agrees_under_every_option(layer):
    """Some that debias their averages: a cumulative one is not debiased."""
    report = checked(with_options(layer), cases=OPTIONS, diagnosed=False)
    assert [judgement for judgement in report.judgements if judgement.counts_against] == []
    assert report.conventions.debias


def test_our_layer_in_torch_agrees_under_every_option():
    few = tuple(case for case in OPTIONS if len(case.shape) == 2 or case.id in ("mask", "no_statistics"))
    assert checked(load("torch-options"), cases=few, diagnosed=False).verdict == "agree"


@pytest.mark.parametrize("layer", [NumpyLayer, torch_layer])
def test_our_layers_take_channels_last_at_every_rank(layer):
    ranks = tuple(BY_ID[f"rank{rank}"] for rank in (2, 3, 4, 5))
    report = checked(recognise(layer), cases=ranks, diagnosed=False)
    assert report.verdict == "agree"
    assert report.conventions.channel_axis == -1
    assert {judgement.case for judgement in report.judgements if judgement.verdict is Verdict.agree} == {
        case.id for case in ranks
    }


def test_a_layer_that_declares_no_option_is_not_asked_for_any():
    report = checked(D2l, cases=OPTIONS)
    reasons = {judgement.reason for judgement in report.judgements if judgement.case != "restart_after_nan"}
    assert reasons == {Reason.option_not_offered}
    assert report.verdict == "agree"


def test_a_mistake_of_the_ordinary_layer_is_named_by_its_ordinary_cases():
    class InvertedWithOptions(RightD2l):
        def weight(self):
            return self.work.type(1) - super().weight()

    cases = tuple(BY_ID[case] for case in ("rank2", "rank4", "five_steps", "decimal_momentum", "mask", "frozen"))
    assert {finding.id for finding in checked(InvertedWithOptions, cases=cases).diagnosis} == {"momentum_inverted"}


def test_mistakes_of_the_layer_and_of_an_option_are_named_both():
    class LeaksAndDropsBeta(MaskLeaks):
        def output(self, x_hat):
            return self.along(self.gamma, x_hat) * x_hat

    cases = tuple(BY_ID[case] for case in ("rank2", "rank4", "mask_sequences", "mask_and_none"))
    assert {finding.id for finding in checked(LeaksAndDropsBeta, cases=cases).diagnosis} == {"beta_ignored"}


# --- masks ---


@pytest.mark.parametrize("dy_is_zero_outside", [True, False])
def test_the_masked_gradient_is_that_of_finite_differences(dy_is_zero_outside):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 4, 3, 5)).astype(np.longdouble)
    mask = rng.random((4, 5)) < 0.6
    if dy_is_zero_outside:
        dy = np.where(mask[:, None], dy, 0)
    layer = BatchNormWithOptions(3, dtype=np.longdouble)
    layer.gamma = rng.uniform(0.5, 2, 3).astype(np.longdouble)
    dx, _, dbeta = layer.masked_train_backward(dy, layer.masked_train(x, mask)[1])
    h = np.longdouble(1e-6)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = h
        ends = [(layer.masked_train(x + side * moved, mask)[0] * dy).sum() for side in (1, -1)]
        assert abs((ends[0] - ends[1]) / (2 * h) - dx[place]) < 1e-9
    outside = np.broadcast_to(~mask[:, None], x.shape)
    assert dy_is_zero_outside == bool((dx[outside] == 0).all())
    assert np.allclose(dbeta.astype(float), dy.sum(axis=(0, 2)).astype(float))


def test_what_a_mask_leaves_out_may_hold_anything():
    """The statistics and gradients are those of the elements that count, to the last bit."""
    rng = np.random.default_rng(1)
    x, mask = rng.standard_normal((6, 3)), np.array([True, False, True, True, False, True])
    dy = np.where(mask[:, None], rng.standard_normal((6, 3)), 0)
    wild = np.where(mask[:, None], x, 1e30)
    plain, masked = BatchNormWithOptions(3), BatchNormWithOptions(3)
    y, cache = plain.masked_train(x, mask)
    y_wild, cache_wild = masked.masked_train(wild, mask)
    assert np.array_equal(y[mask], y_wild[mask])
    assert np.array_equal(plain.moving_var, masked.moving_var)
    for a, b in zip(plain.masked_train_backward(dy, cache), masked.masked_train_backward(dy, cache_wild), strict=True):
        assert np.array_equal(a, b)


class NansOfNothing(RightD2l):
    def masked_train(self, given, dy, mask):
        with np.errstate(all="ignore"):
            if not mask.any():
                self.moving_mean = self.moving_mean * np.nan
            return super().masked_train(given, dy, mask)


def test_a_mask_of_nothing_is_noted_and_no_fault():
    spoiled, right = (checked(layer, cases=(BY_ID["mask_nothing_left"],)) for layer in (NansOfNothing, RightD2l))
    (note,) = (note for note in spoiled.notes if note.id == "mask_nothing_left")
    assert note.text.endswith("turns the moving statistics to NaN")
    assert not any(judgement.counts_against for judgement in spoiled.judgements)
    assert not any(note.id == "mask_nothing_left" for note in right.notes)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="has \\(4, 5\\), got \\(3,\\)"):
        rows_of_mask(np.ones(3, bool), (4, 2, 5), 1)


@pytest.mark.parametrize("shape", [(4, 6), (7,), (4, 2, 3)])
def test_masks_leave_something_in_and_something_out(shape):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert 3 <= options.some()(rng, shape).sum() < np.prod(shape)
        assert options.one(rng, shape).sum() == 1
        assert options.whole_samples(rng, shape).shape == (shape[0], *[1] * (len(shape) - 1))


class InsistsOnMask(RightD2l):
    def train(self, x, dy, mask):
        return super().train(x, dy, mask)


class InheritsTheClaim(RightD2l):
    def train(self, x, dy):
        return super().train(x, dy)


def test_a_layer_that_insists_on_a_mask_gets_none_where_there_is_none():
    case = BY_ID["rank2"]
    assert not any(step.error for step in play(InsistsOnMask, case.make("float64", 0, 0.875), 1).steps)


def test_a_step_that_takes_no_mask_is_unsupported_whatever_its_class_says():
    report = checked(InheritsTheClaim, cases=(BY_ID["mask_rank2"],))
    assert {j.verdict for j in report.judgements if j.op == "train"} == {Verdict.unsupported}


# --- over the wire ---


def test_options_go_over_the_wire():
    setup = Setup(2, 2, "float32", 1e-5, 0.1, None, np.ones(2, np.float32), None, None, cumulative=True)
    x, mask = np.ones((3, 2), np.float32), np.array([True, False, True])
    script = Script((setup,), (Step("train", x, x, mask=mask), Step("frozen", x, x)))
    request = json.loads(f"{{{play_body(script, 1)}}}")
    back = script_from(request, "cpu")
    assert (back.setups[0].gamma, back.setups[0].moving_mean, back.setups[0].cumulative) == (None, None, True)
    assert np.array_equal(back.steps[0].mask, mask)
    assert back.steps[1].mask is None
    ordinary = replace(setup, gamma=np.ones(2, np.float32), cumulative=False)
    assert "cumulative" not in play_body(Script((ordinary,), script.steps[1:]), 1)


# --- what was there before ---

OF_THE_ORDINARY = "c49e2d5ac195b6c5690651c27923fb47f1088cda7ec7e9d2db9273f679a769d6"


def test_new_cases_do_not_shift_the_data_of_the_old_ones():
    """The inputs of these cases in seed 0: published tables were made with them."""
    digest = hashlib.sha256()
    for identity in ("rank2", "rank4", "five_steps", "two_layers", "load_into_used", "sixteen_bits", "exact_1024"):
        case = BY_ID[identity]
        for dtype in case.dtypes:
            script = case.make(dtype, 0, 0.875)
            arrays = [getattr(s, n) for s in script.setups for n in ("gamma", "beta", "moving_mean", "moving_var")]
            arrays += [array for step in script.steps for array in (step.x, step.dy) if array is not None]
            for array in arrays:
                digest.update(array.tobytes())
    assert digest.hexdigest() == OF_THE_ORDINARY


# --- answers ---


def test_two_layers_that_do_the_same_are_within_the_sum_of_their_bounds():
    cases = (BY_ID["rank2"], BY_ID["mask_rank2"])
    ours, theirs = (checked(layer, cases=cases, diagnosed=False) for layer in (NumpyBatchNorm, RightD2l))
    lines = beside(ours, theirs)
    assert lines
    assert all(line.same and line.right == "both" for line in lines)
    assert {line.column for line in beside(ours, theirs, ("eval",))} == {
        f"eval {name}" for name in ("y", "dx", "dgamma", "dbeta")
    }
    assert "the same" in sentence(lines[0], "a", "b")


def test_of_two_that_differ_the_one_that_is_right_is_named():
    class Off(D2l):
        def eval(self, x, dy):
            values = super().eval(x, dy)
            return values | {"y": values["y"] + x.dtype.type(0.25)}

    a, b = (checked(layer, cases=(BY_ID["rank2"],), diagnosed=False) for layer in (D2l, Off))
    (line,) = (line for line in beside(a, b) if line.column == "eval y" and line.dtype == "float64")
    assert not line.same
    assert line.right == "a"
    assert line.apart == pytest.approx(0.25)
    assert "a is right, b is" in sentence(line, "a", "b")


def test_conventions_excuse_nothing_beside_each_other():
    a, b = (checked(layer, cases=(BY_ID["two_values"],), diagnosed=False) for layer in (RightD2l, RightTorch))
    assert any(not line.same and line.right == "both" for line in beside(a, b))


def test_a_case_is_explained_by_what_it_shows_and_what_it_cannot():
    thousands = BY_ID["values_4095"]
    assert any("Bessel" in line for line in not_shown(thousands))
    assert not any("Bessel" in line for line in not_shown(BY_ID["two_values"]))
    assert any("1e-" in line for line in resolution(BY_ID["rank2"], 0))
    by_double, by_single, of_ones = gradient_check(BY_ID["rank2"], 0)
    assert "proves something" in by_double
    assert "3 off" in by_single or "off" in by_single
    assert "ones" in of_ones
    assert [*gradient_check(BY_ID["predict_one_sample"], 0)] == ["it has no ordinary training step"]


def test_finite_differences_prove_nothing_in_float32_where_the_mean_is_large():
    lines = [*gradient_check(BY_ID["large_mean_1e6"], 0)]
    assert "proves nothing" in next(line for line in lines if line.startswith("float32"))


def test_why_the_moving_variance_is_not_numpys():
    assert "n/(n-1) = 1.043478 times" in why_moving_var_is_not_numpys(PRESETS["torch"], 24)
    assert "averages sum/n as NumPy's" in why_moving_var_is_not_numpys(PRESETS["flax"], 24)


@pytest.mark.parametrize(("transformation", "verdict"), [("state-dict", "agree"), ("fuse", "unsupported")])
def test_a_torch_layer_without_a_part_goes_through_a_transformation_or_is_unsupported(transformation, verdict):
    case = replace(BY_ID["no_statistics"], script=("eval",))
    assert checked(load("torch-native", "", transformation), cases=(case,), diagnosed=False).verdict == verdict
