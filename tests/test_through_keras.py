"""Keras layers through Model.export, each format: a right one agrees, and one that is wrong when exported does not."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Verdict
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load, prepare_keras
from harness.targets.through.table import of_framework
from harness.targets.through.through import missing_needs

pytestmark = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs keras: pip install keras")
LAYERS = str(Path(__file__).parent / "targets" / "through_keras.py")
CASE = replace(BY_ID["rank4"], dtypes=("float32",))
EXPORTS = [name for name in of_framework("keras") if name.startswith("export")]
NOT_OF = {
    "torch": {"export": "torch_xla"},
    "jax": {"export-torch": "PyTorch backend", "export-litert": "TensorFlow or PyTorch backend"},
    "tensorflow": {"export-torch": "PyTorch backend"},
}
"""What Keras does not export on a backend, and a word of its reason."""
CONVERTERS = {
    ("tensorflow", "export-onnx"): "tf2onnx",
    ("jax", "export-onnx"): "jax2onnx",
    ("torch", "export-litert"): "litert_torch",
}
"""What Keras asks for besides, on a backend."""


def backend():
    import os

    prepare_keras()
    return os.environ["KERAS_BACKEND"]


def checked(name, transformation=""):
    with warnings.catch_warnings(action="ignore"):  # TensorFlow's tensors have NumPy 1's __array__
        player = InProcessTarget(load(f"{LAYERS}:{name}", "", transformation))
        return check_target(player, CheckOptions((CASE,), diagnosed=False))


def needed(transformation):
    missing = missing_needs(of_framework("keras")[transformation])
    converter = CONVERTERS.get((backend(), transformation))
    if converter and importlib.util.find_spec(converter) is None:
        missing.append(converter)
    if missing:
        pytest.skip(f"{transformation} needs {missing[0]}: not installed")


@pytest.mark.parametrize("transformation", EXPORTS)
def test_a_right_layer_agrees(transformation):
    needed(transformation)
    report = checked("BatchNormalization", transformation)
    reason = NOT_OF[backend()].get(transformation)
    if reason:
        assert report.verdict == "unsupported"
        assert any(reason in (judgement.message or "") for judgement in report.judgements)
    else:
        assert report.verdict == "agree", [judgement.message for judgement in report.judgements]
        assert sum(judgement.verdict is Verdict.agree for judgement in report.judgements) == 3  # y and the statistics


@pytest.mark.parametrize("transformation", EXPORTS)
def test_a_wrong_one_differs(transformation):
    needed(transformation)
    if transformation not in NOT_OF[backend()]:
        assert checked("OtherWhenTraced", transformation).verdict == "differ"


def test_as_it_is_each_agrees():
    assert backend() in NOT_OF
    for name in ("BatchNormalization", "OtherWhenTraced"):
        if backend() != "jax":  # there a step is traced as well
            assert checked(name).verdict == "agree"
