"""Folds as transformations: ours and PyTorch's agree, and wrong ones are seen to differ."""

import importlib
import warnings
from dataclasses import replace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Verdict
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from harness.targets.through.mixing import alone, reversing, reversing_in_groups

PRIME = replace(BY_ID["rank4"], dtypes=("float32",))
"""5 channels: groups of one output."""
EVEN = replace(BY_ID["all_axes_equal"], dtypes=("float32",))
"""4 channels: groups of two outputs."""
NEEDS = {"numpy": "numpy", "torch": "torch", "jax": "flax", "flax": "flax"}
ROOMS = {"numpy": "numpy_folds", "torch": "torch_own_folds", "jax": "jax_folds", "flax": "jax_folds"}
FOLDS = ("fold", "fold-grouped", "fold-transposed", "fold-transposed-grouped", "fold-dense")
PLAYED = (
    *(("numpy", fold) for fold in FOLDS),
    *(("torch", fold) for fold in FOLDS),
    *(("jax", fold) for fold in ("fold-transposed", "fold-dense")),
    ("flax", "fold-dense"),
)
"""Target and fold. The rest of JAX is in the published table alone: XLA compiles each convolution anew."""


def loses_mean(fold, weight, bias, layer, **where):
    """beta alone is left of the shift."""
    return fold(weight, bias, layer, **where)[0], layer.beta[...]


def keeps_weight(fold, weight, bias, layer, **where):
    """The scale goes nowhere."""
    return weight, fold(weight, bias, layer, **where)[1]


def scales_another_output(fold, weight, bias, layer, **where):
    """As a scale on the wrong axis of the weight does."""
    _, shift = fold(weight, bias, layer, **where)
    flip_gamma(layer)
    scaled, _ = fold(weight, bias, layer, **where)
    flip_gamma(layer)
    return scaled, shift


def flip_gamma(layer):
    if hasattr(layer.gamma, "detach"):
        layer.gamma.data = layer.gamma.data.flip(0)
    elif isinstance(layer.gamma, np.ndarray):
        layer.gamma = layer.gamma[::-1]
    else:
        layer.gamma[...] = layer.gamma[...][::-1]


def forgets_groups(fold, weight, bias, layer, **where):
    """All groups have the scale of the first, as where (C/groups,) of them broadcasts."""
    scaled, shift = fold(weight, bias, layer, **where)
    inputs = len(weight) // where["groups"]
    return scaled[list(range(inputs)) * where["groups"]], shift


MUTANTS = (loses_mean, keeps_weight, scales_another_output)


def checked(target, fold):
    pytest.importorskip(NEEDS.get(target, "torch"))
    case = EVEN if fold.endswith("grouped") else PRIME
    with warnings.catch_warnings(action="ignore"):
        return check_target(InProcessTarget(load(target, "", fold)), CheckOptions((case,), diagnosed=False))


@pytest.mark.parametrize(("target", "fold"), [*PLAYED, ("torch.nn:BatchNorm2d", "fuse-grouped")])
def test_a_right_fold_agrees(target, fold):
    report = checked(target, fold)
    assert report.verdict == "agree", [judgement.message for judgement in report.judgements]
    agreed = [judgement.observable for judgement in report.judgements if judgement.verdict is Verdict.agree]
    assert {"y", "dx"} <= {*agreed}


@pytest.mark.parametrize(
    ("target", "fold", "mutant"),
    [
        *((*played, mutant) for played in PLAYED for mutant in MUTANTS),
        *((target, "fold-transposed-grouped", forgets_groups) for target in ("numpy", "torch")),
    ],
)
def test_a_wrong_one_differs(target, fold, mutant, monkeypatch):
    pytest.importorskip(NEEDS[target])
    room = importlib.import_module(f"harness.targets.through.{ROOMS[target]}")
    right = room.ours.fold
    monkeypatch.setattr(room.ours, "fold", lambda *given, **where: mutant(right, *given, **where))
    assert checked(target, fold).verdict == "differ"


def test_torch_s_grouped_fold_on_the_wrong_output_differs(monkeypatch):
    pytest.importorskip("torch")
    from harness.targets.through import torch_folds

    right = torch_folds.fuse_conv_bn_eval

    def wrong(convolution, norm, transpose=False):
        norm.weight.data = norm.weight.data.flip(0)
        return right(convolution, norm, transpose)

    monkeypatch.setattr(torch_folds, "fuse_conv_bn_eval", wrong)
    assert checked("torch.nn:BatchNorm2d", "fuse-grouped").verdict == "differ"


def test_what_inductor_has_not_compiled_is_not_judged(monkeypatch):
    """The compiled fold itself takes a minute: it is in the published table."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr("harness.targets.through.through.missing_needs", lambda _: [])
    report = checked("torch.nn:BatchNorm2d", "fuse-conv-inductor")
    assert report.verdict == "unsupported"
    assert any("Inductor folds no batch norm" in (judgement.message or "") for judgement in report.judgements)


def test_a_layer_of_another_is_no_layer_of_ours():
    report = checked("torch.nn:BatchNorm2d", "fold")
    assert report.verdict == "unsupported"
    assert "`fold` takes our own batch norm, not BatchNorm2d" in report.judgements[0].message


@pytest.mark.parametrize("channels", [2, 3, 4, 6, 35])
@pytest.mark.parametrize("mix", [alone, reversing, reversing_in_groups])
def test_mixed_channels_come_out_in_order(channels, mix):
    """The product with the weight, group by group, of the channels in their order is the channels."""
    mixing = mix(channels)
    inputs = np.array(mixing.order).reshape(mixing.groups, -1)
    weight = mixing.weight.reshape(mixing.groups, -1, inputs.shape[1])
    assert np.array_equal(np.einsum("gck,gk->gc", weight, inputs).ravel(), np.arange(channels))
    transposed = mixing.transposed().reshape(mixing.groups, inputs.shape[1], -1)
    assert np.array_equal(np.einsum("gkc,gk->gc", transposed, inputs).ravel(), np.arange(channels))
    if mix is reversing_in_groups:
        assert mixing.groups > 1
        assert inputs.shape[1] > 1


def test_one_channel_is_in_no_groups():
    with pytest.raises(NotImplementedError, match="a single channel is not in groups"):
        reversing_in_groups(1)
