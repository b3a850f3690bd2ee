"""Folds by the converters of TensorFlow and LiteRT: right ones agree, wrong ones differ, what is left is not judged."""

import importlib.util
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Verdict
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from harness.targets.through import litert
from harness.targets.through.mixing import must_be_folded
from harness.targets.through.other_tables import KERAS_FOLDS
from harness.targets.through.table import of_framework
from harness.targets.through.through import missing_needs

PRIME = replace(BY_ID["rank4"], dtypes=("float32",))
"""5 channels: groups of one output."""
EVEN = replace(BY_ID["all_axes_equal"], dtypes=("float32",))
"""4 channels: groups of two outputs."""
RANK_2 = replace(BY_ID["rank2"], dtypes=("float32",))
BY_GRAPPLER = "fuse-conv-grappler"
"""It folds nothing else."""
KERAS = (*(f"{fold}-litert" for fold in KERAS_FOLDS), BY_GRAPPLER)
TORCH = ("fuse-conv-litert", "fuse-grouped-litert", "fuse-transposed-litert", "fuse-dense-litert")
TENSORFLOW = ("fuse-conv-litert", BY_GRAPPLER)
LAYERS = str(Path(__file__).parent / "targets" / "through_tensorflow.py")


def checked(target, framework, name, case=None):
    needed = [framework, *missing_needs(of_framework(framework)[name])]
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"{name} needs {missing[0]}: not installed")
    other = "tensorflow" if framework == "torch" else "litert_torch"
    if other in sys.modules:
        pytest.skip(f"{other} is imported already: TensorFlow and litert-torch in one process end it")
    with warnings.catch_warnings(action="ignore"):  # converters warn, and TensorFlow's tensors have NumPy 1's __array__
        player = InProcessTarget(load(target, "", name))
        return check_target(player, CheckOptions((case or (EVEN if "grouped" in name else PRIME),), diagnosed=False))


def agrees(report):
    """Whether every y was compared and is right."""
    return {j.verdict for j in report.judgements if j.observable == "y" and j.op == "eval"} == {Verdict.agree}


def loses_mean(arrays):
    return arrays | {"mean": 0 * arrays["mean"]}


def scales_another_output(arrays):
    """As a scale on the wrong axis of the weight does."""
    return arrays | {"gamma": arrays["gamma"][::-1].copy()}


def keeps_the_shift_alone(arrays):
    return arrays | {"gamma": np.ones_like(arrays["gamma"])}


MUTANTS = (loses_mean, scales_another_output, keeps_the_shift_alone)


# --- Keras ---

only_on_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("keras") is None or importlib.util.find_spec("tensorflow") is None,
    reason="needs Keras on TensorFlow: pip install keras tensorflow",
)


@only_on_tensorflow
@pytest.mark.parametrize("case", [None, RANK_2], ids=["images", "rows"])
@pytest.mark.parametrize("name", KERAS)
def test_a_right_fold_of_keras_agrees(name, case):
    if case and name == BY_GRAPPLER:
        report = checked("keras-tensorflow", "keras", name, case)
        assert report.verdict == "unsupported"  # a convolution of rank 3 is one of rank 4 between other operators
        assert any("Mul is left" in (judgement.message or "") for judgement in report.judgements)
    else:
        assert agrees(checked("keras-tensorflow", "keras", name, case))


@only_on_tensorflow
@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name", KERAS)
def test_a_wrong_fold_of_keras_differs(name, mutant, monkeypatch):
    if missing_needs(of_framework("keras")[name]):
        pytest.skip("needs LiteRT: pip install ai-edge-litert")
    checked("keras-tensorflow", "keras", "nojit", RANK_2)  # imports Keras with its backend
    from harness.targets.through import keras_folds

    right = keras_folds.model_of

    def wrong(*given):
        model = right(*given)
        norm = model.layers[-1]
        arrays = mutant(dict(zip(("gamma", "beta", "mean", "var"), norm.get_weights(), strict=True)))
        norm.set_weights([*arrays.values()])
        return model

    monkeypatch.setattr(keras_folds, "model_of", wrong)
    assert checked("keras-tensorflow", "keras", name).verdict == "differ"


@only_on_tensorflow
@pytest.mark.parametrize("name", [name for name in of_framework("keras") if name.endswith("grappler")])
def test_what_grappler_leaves_is_not_judged(name):
    if name != BY_GRAPPLER:
        report = checked("keras-tensorflow", "keras", name)
        assert report.verdict == "unsupported"
        left = ("Mul is left", "a function that XLA compiles")
        assert any(any(words in (judgement.message or "") for words in left) for judgement in report.judgements)


# --- torch ---


@pytest.mark.parametrize("name", ["litert", *TORCH])
def test_a_right_fold_of_torch_agrees(name):
    assert agrees(checked("torch.nn:BatchNorm2d", "torch", name))


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name", TORCH)
def test_a_wrong_fold_of_torch_differs(name, mutant, monkeypatch):
    if missing_needs(of_framework("torch")[name]):
        pytest.skip("needs litert-torch: pip install litert-torch")
    torch = pytest.importorskip("torch")

    from harness.targets.through import torch_litert

    right = torch_litert.constants

    def wrong(*given):
        norm = right(*given)
        tensors = {"gamma": norm.weight, "mean": norm.running_mean}
        arrays = mutant({name: tensor.detach().numpy().copy() for name, tensor in tensors.items()})
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(arrays[name]))
        return norm

    monkeypatch.setattr(torch_litert, "constants", wrong)
    assert checked("torch.nn:BatchNorm2d", "torch", name).verdict == "differ"


# --- TensorFlow's functions ---


@pytest.mark.parametrize("target", ["tensorflow-fused", "tensorflow-moments"])
@pytest.mark.parametrize("name", TENSORFLOW)
def test_a_right_fold_of_tensorflow_agrees(name, target):
    assert agrees(checked(target, "tensorflow", name))


@pytest.mark.parametrize("layer", ["EpsOutsideInGraph", "EpsOutsideInGraphOfMoments"])
@pytest.mark.parametrize("name", TENSORFLOW)
def test_a_wrong_fold_of_tensorflow_differs(name, layer):
    assert checked(f"{LAYERS}:{layer}", "tensorflow", name).verdict == "differ"


# --- what is not folded ---


FOLDED = (["TRANSPOSE", "CONV_2D", "DELEGATE"], ["Placeholder", "Const", "Conv2D", "BiasAdd", "Identity"])
"""By LiteRT's names, and by TensorFlow's."""


@pytest.mark.parametrize("operators", FOLDED)
def test_a_scale_that_is_left_is_told(operators):
    must_be_folded(operators, "Conv3D", "Grappler")
    for left in ("MUL", "DIV", "RSQRT", "SUB", "Mul", "RealDiv", "Rsqrt", "Sub", "FusedBatchNormV3"):
        with pytest.raises(NotImplementedError, match=f"^Grappler folds no batch norm into Conv3D: {left} is left"):
            must_be_folded([*operators, left], "Conv3D", "Grappler")


def test_all_are_judged_as_folds():
    """By the bound of a scale and a shift, each rounded when it is made."""
    for framework, names in (("keras", KERAS), ("torch", TORCH), ("tensorflow", TENSORFLOW)):
        for name in names:
            assert of_framework(framework)[name].keeps == ("prediction",)
    if importlib.util.find_spec("torch"):
        from harness.targets.through import torch_module

        table = of_framework("torch")
        assert all(torch_module.members(table[name])["folded"] for name in TORCH)
        assert "folded" not in torch_module.members(table["litert"])


class OfFloat32:
    """A LiteRT interpreter of a model that takes float32."""

    def __init__(self, **_):
        pass

    def get_input_details(self):
        return [{"index": 0, "dtype": np.float32}]


def test_a_model_of_another_type_is_not_judged(monkeypatch):
    """litert-torch makes a float32 model of our own layer in float64."""
    monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", SimpleNamespace(Interpreter=OfFloat32))
    with pytest.raises(NotImplementedError, match="the converted model takes float32, not float64"):
        litert.run(b"", np.zeros((2, 3)))
