"""Layers of frameworks are asked for forward mode and second derivatives by themselves, and what they lack is told."""

import pytest
import torch
from torch import nn

from harness.cases.catalogue import BY_ID
from harness.targets.load import load
from harness.targets.wrap import function, torch_module
from impls.third_party import jax_stax
from tests.in_process import checked

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
CASES = tuple(BY_ID[name] for name in ("double", "double_frozen", "jvp", "jvp_frozen"))


class Normalize(torch.autograd.Function):
    """x_hat and its first derivative, which is right, by a scale that backward takes for a constant."""

    @staticmethod
    def forward(ctx, x):
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        scale = 1 / torch.sqrt(var + 1e-5)
        x_hat = (x - mean) * scale
        ctx.x_hat, ctx.scale = x_hat, scale
        return x_hat

    @staticmethod
    def backward(ctx, d_hat):
        axes, x_hat = (0, 2, 3), ctx.x_hat
        return ctx.scale * (d_hat - d_hat.mean(axes, True) - x_hat * (d_hat * x_hat).mean(axes, True))


class OnlyOnce(Normalize):
    backward = staticmethod(torch.autograd.function.once_differentiable(Normalize.backward))


class ByFunction(nn.BatchNorm2d):
    conventions = "torch"
    dtypes = ("float64",)
    function = Normalize

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        return self.weight.view(1, -1, 1, 1) * self.function.apply(x) + self.bias.view(1, -1, 1, 1)


class ByOnce(ByFunction):
    function = OnlyOnce


def verdicts(report):
    return {judgement.op: judgement.verdict.value for judgement in report.judgements}


def test_torch_s_own_layer_agrees():
    report = checked(torch_module.wrap(nn.BatchNorm2d), cases=CASES)
    assert verdicts(report) == dict.fromkeys(("train_double", "eval_double", "train_jvp", "eval_jvp"), "agree")


def test_a_backward_that_saves_constants_is_named():
    """Its scale hangs on nothing in backward; its x_hat, which is the function's result, does on x."""
    report = checked(torch_module.wrap(ByFunction), cases=CASES)
    assert [finding.id for finding in report.diagnosis] == ["double_var_constant"]
    assert verdicts(report)["train_jvp"] == "unsupported"


def test_a_backward_that_refuses_is_unsupported():
    report = checked(torch_module.wrap(ByOnce), cases=CASES)
    assert report.verdict == "agree"
    assert verdicts(report) == {
        "train_double": "unsupported",
        "train_jvp": "unsupported",
        "eval_double": "agree",
        "eval_jvp": "agree",
    }


def test_a_library_s_jax_layer_agrees():
    """Whether its point, directions and results are in the right order: the same code serves six libraries."""
    layer = type("OfOneType", (jax_stax.StaxBatchNorm,), {"dtypes": ("float64",)})
    report = checked(layer, cases=(BY_ID["double"], BY_ID["jvp"]))
    assert [judgement.observable for judgement in report.judgements] == ["dx2", "ddy", "dgamma2", "ty"]
    assert report.verdict == "agree"


def test_a_function_is_asked_too():
    def plain(x, gamma, beta, eps):
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        return gamma.view(1, -1, 1, 1) * (x - mean) / torch.sqrt(var + eps) + beta.view(1, -1, 1, 1)

    plain.conventions, plain.dtypes = "torch", ("float64",)
    report = checked(function.wrap(plain), cases=CASES[::2])
    assert verdicts(report)["train_double"] == verdicts(report)["train_jvp"] == "agree"
    assert report.diagnosis == []


@pytest.mark.parametrize("order", ["", "forward-over-reverse", "reverse-over-forward", "forward-over-forward"])
@pytest.mark.parametrize("layer", ["torch", "torch-options", "jax", "flax-options"])
def test_ours_round_once_in_16_bits(layer, order):
    """torch-options has no kernels: it is differentiated by plain operations, which cast what comes in 16 bits."""
    cases = [BY_ID[name] for name in ("double_sixteen_bits", "double_frozen_sixteen_bits")]
    report = checked(load(layer, "", order), cases=cases, diagnosed=False)
    failed = [(judgement.observable, judgement.ratio) for judgement in report.judgements if judgement.counts_against]
    assert failed == []
    agreeing = {judgement.observable for judgement in report.judgements if judgement.verdict == "agree"}
    assert agreeing == {"dx2", "ddy", "dgamma2"} - ({"dgamma2"} if order == "forward-over-forward" else set())


@pytest.mark.parametrize("seed", [0, 2, 18])
def test_two_casts_of_x_are_named(seed):
    """Each part of dx2 is rounded: by far less than sums in 16 bits are, and at seed 2 as if by a factor of 1.001."""

    def cast_twice(x, gamma, beta, eps):
        one, other = x.float(), x.float()
        mean, var = one.mean((0, 2, 3), keepdim=True), one.var((0, 2, 3), unbiased=False, keepdim=True)
        y = gamma.view(1, -1, 1, 1) * (other - mean) / (var + eps).sqrt() + beta.view(1, -1, 1, 1)
        return y.to(x.dtype)

    cast_twice.conventions, cast_twice.dtypes = "torch", ("bfloat16", "float16")
    report = checked(function.wrap(cast_twice), seed, (BY_ID["double_sixteen_bits"],))
    assert {judgement.observable for judgement in report.judgements if judgement.counts_against} == {"dx2"}
    assert [finding.id for finding in report.diagnosis] == ["low_precision_stats"]
