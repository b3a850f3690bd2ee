"""torch layers through transformations: what each must keep, and a layer for each that does not."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.diagnose.mistakes.transformed import BY_TRANSFORMATION, of_transformation
from harness.judge.judgement import Verdict
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from harness.targets.through.table import of_framework
from harness.targets.through.through import missing_needs

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch: pip install torch")
LAYERS = str(Path(__file__).parent / "targets" / "through_torch.py")
CASES = tuple(replace(BY_ID[name], dtypes=("float32",)) for name in ("rank4", "gradients_off"))
COMPILED = "aot-inductor"
ONE_STEP = (replace(CASES[0], script=("eval",)),)
"""Of what a C++ compiler takes seconds to build for each step."""
FOLDS = ("fuse", "fuse-conv", "fuse-transposed", "fuse-dense")
RIGHT = {"script": "BatchNorm2d", **dict.fromkeys(FOLDS, "BatchNorm2d")}
"""A layer that is right through each transformation, where it is not `MovesOnce`."""
MUTANTS = (
    ("checkpoint", "BatchNorm2d", "stats_updated_twice"),
    ("checkpoint-reentrant", "BatchNorm2d", ""),
    ("deepcopy", "SharesBuffers", "state_shared"),
    ("state-dict", "LosesVariance", "state_not_saved"),
    ("script", "ModeInPython", ""),
    ("trace", "MeansAsNumbers", ""),
    ("vmap", "MixesCopies", ""),
    ("autocast", "MeansByMatmul", ""),
    ("autocast-float16", "MeansByMatmul", ""),
    ("to-dtype", "HoldsBuffers", "state_not_saved"),
    ("swap-tensors", "HoldsBuffers", "state_not_saved"),
    ("meta", "LosesVariance", "state_not_saved"),
    ("export-dynamic", "KeepsExamplesCount", "bessel_wrong"),
    ("functional-call", "HoldsBuffers", ""),
    ("channels-last", "ReadsMemory", ""),
    ("export", "OtherWhenCompiled", ""),
    (COMPILED, "NoShiftWhenCompiled", "beta_ignored"),
    ("accumulate", "KeepsOnItself", ""),
    ("no-grad", "ModeFollowsGrad", "train_uses_moving_stats stats_frozen"),
    ("inference-mode", "ModeFollowsGrad", ""),
    *((fold, "EpsOutside", "") for fold in (*FOLDS, "qat")),
    ("ddp", "TwiceInParallel", ""),
    ("fsdp", "HoldsGamma", "gradient_scaled"),
)
"""Transformation, the layer that it breaks, and the mistakes that are named where the list has them."""
OF_WHOLE_VECTORS = (replace(BY_ID["all_axes_equal"], dtypes=("float32",)),)
"""A dgamma of 0 is a vector loop without its tail, where a sample has fewer values than a vector: here it has 16."""


def checked(name, transformation="", cases=CASES[:1], diagnosed=False):
    with warnings.catch_warnings(action="ignore"):
        return check_target(
            InProcessTarget(load(f"{LAYERS}:{name}", "", transformation)), CheckOptions(cases, diagnosed=diagnosed)
        )


def cases_for(transformation):
    missing = missing_needs(of_framework("torch")[transformation])
    if missing:
        pytest.skip(f"{transformation} needs {missing[0]}: not installed")
    return ONE_STEP if transformation == COMPILED else CASES


@pytest.mark.parametrize("transformation", [name for name, _, _ in MUTANTS])
def test_a_right_layer_agrees(transformation):
    report = checked(RIGHT.get(transformation, "MovesOnce"), transformation, cases_for(transformation)[:1])
    assert report.verdict == "agree", [judgement.message for judgement in report.judgements]
    assert report.target.endswith(f" through {transformation}")


@pytest.mark.parametrize(("transformation", "layer", "mistake"), MUTANTS)
def test_a_wrong_one_is_flagged(transformation, layer, mistake):
    cases = cases_for(transformation)
    cases = cases + OF_WHOLE_VECTORS if mistake == "gradient_scaled" else cases
    report = checked(layer, transformation, cases if mistake else cases[:1], bool(mistake))
    assert report.verdict in (Verdict.differ, Verdict.raised), report.load_error
    if mistake:
        assert [finding.id for finding in report.diagnosis] == mistake.split()


def test_what_is_known_of_a_transformation_is_of_one_that_there_is():
    assert {*BY_TRANSFORMATION} <= {*of_framework("torch")}
    named = {(transformation, mistake) for transformation, _, mistake in MUTANTS}
    assert {(name, of[0][0]) for name, of in BY_TRANSFORMATION.items()} <= named
    assert of_transformation("compile") == of_transformation("") == []


ORDERS = {
    "forward-over-reverse": "",
    "reverse-over-forward": "double_statistics_constant",
    "forward-over-forward": "double_statistics_constant",
}
"""Of second derivatives, and what is wrong with PyTorch's own layer in them: pytorch issue 196699."""


def second_derivatives(layer, order):
    cases = tuple(replace(BY_ID[name], dtypes=("float32",)) for name in ("double", "double_frozen"))
    return checked(layer, order, cases, diagnosed=True)


@pytest.mark.parametrize("order", ORDERS)
def test_the_plain_formula_agrees_in_every_order(order):
    report = second_derivatives("Formula", order)
    assert [judgement.message for judgement in report.judgements if judgement.counts_against] == []
    assert [judgement.verdict for judgement in report.judgements] == [Verdict.agree] * 6  # dx2, ddy, dgamma2, twice


@pytest.mark.parametrize(("order", "mistake"), ORDERS.items())
def test_what_pytorch_takes_for_a_constant_is_named(order, mistake):
    report = second_derivatives("BatchNorm2d", order)
    assert [finding.id for finding in report.diagnosis] == ([mistake] if mistake else [])
    assert {j.observable for j in report.judgements if j.counts_against} == ({"dx2"} if mistake else set())


def test_quantization_aware_training_loses_a_channel_without_gamma():
    """It multiplies by gamma and divides again: pytorch pull request 85744."""
    cases = (*CASES, replace(BY_ID["gamma_zero"], dtypes=("float32",)))
    report = checked("BatchNorm2d", "qat", cases, diagnosed=True)
    assert [(finding.id, finding.cases) for finding in report.diagnosis] == [("non_finite_output", ("gamma_zero",))]
    trained = {judgement.op for judgement in report.judgements if judgement.verdict is Verdict.agree}
    assert trained >= {"train", "eval", "train_no_grad"}


@pytest.mark.parametrize("layer", sorted({layer for _, layer, _ in MUTANTS}))
def test_as_it_is_each_agrees(layer):
    if layer != "TwiceInParallel":  # processes may be started already
        assert checked(layer).verdict == "agree"
