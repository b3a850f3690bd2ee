"""ONNX Runtime's optimizer on a convolution or product with a batch norm after it: wrong folds are seen to differ."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Verdict
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from harness.targets.through import onnx_folds
from harness.targets.through.onnx_levels import FOLD_LEVELS, FOLDS
from harness.targets.through.table import of_framework

HAS_RUNTIME = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
needs_runtime = pytest.mark.skipif(not HAS_RUNTIME, reason="needs ONNX Runtime: pip install onnx onnxruntime")
CASES = tuple(replace(BY_ID[name], dtypes=("float32",)) for name in ("rank4", "all_axes_equal", "rank2"))
RIGHT = onnx_folds.run


def checked(name):
    player = InProcessTarget(load("onnxruntime-15", "", name))
    return check_target(player, CheckOptions(CASES, diagnosed=False))


def with_array(model, name, change):
    from onnx import numpy_helper

    array = next(array for array in model.graph.initializer if array.name == name)
    array.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(array)), name))
    return model


def loses_mean(model, x, level):
    return RIGHT(with_array(model, "moving_mean", np.zeros_like), x, level)


def scales_another_output(model, x, level):
    """As a scale on the wrong axis of the weight does."""
    return RIGHT(with_array(model, "gamma", lambda gamma: gamma[::-1].copy()), x, level)


def eps_outside(model, x, level):
    """Of the square root: var + eps becomes (sqrt(var) + eps)^2."""
    return RIGHT(with_array(model, "moving_var", lambda var: (np.sqrt(var) + 1e-5) ** 2 - 1e-5), x, level)


@needs_runtime
@pytest.mark.parametrize("level", FOLD_LEVELS)
@pytest.mark.parametrize("fold", FOLDS)
def test_a_right_fold_agrees(fold, level):
    report = checked(f"{fold}-{level}")
    assert report.verdict == "agree", [judgement.message for judgement in report.judgements]
    assert (
        sum(judgement.verdict is Verdict.agree for judgement in report.judgements) == 9
    )  # y, and the statistics, which stay


@needs_runtime
@pytest.mark.parametrize("mutant", [loses_mean, scales_another_output, eps_outside])
@pytest.mark.parametrize("fold", FOLDS)
def test_a_wrong_one_differs(fold, mutant, monkeypatch):
    monkeypatch.setattr(onnx_folds, "run", mutant)
    assert checked(f"{fold}-all").verdict == "differ"


@needs_runtime
def test_what_is_not_folded_is_not_judged(monkeypatch):
    """An older ONNX Runtime folds into Conv and MatMul alone."""
    monkeypatch.setattr(onnx_folds, "run", lambda model, x, _: RIGHT(model, x, "ORT_DISABLE_ALL"))
    report = checked("fuse-transposed-basic")
    assert report.verdict == "unsupported"
    assert any("folds no batch norm into ConvTranspose" in (j.message or "") for j in report.judgements)


def test_what_is_folded_is_judged_as_a_fold():
    for fold in FOLDS:
        assert [onnx_folds.members(fold, level)["folded"] for level in FOLD_LEVELS.values()] == [
            False,
            True,
            True,
            True,
        ]
        assert all(f"{fold}-{level}" in of_framework("onnxruntime") for level in FOLD_LEVELS)
