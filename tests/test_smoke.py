"""The smoke check: an adapter that does not fit is an error of loading; a wrong implementation gets past it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from harness.cases.script import DEFAULT_DTYPES
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.describe import describe
from harness.targets.in_process import InProcessTarget
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError, load
from harness.targets.play import play
from harness.targets.smoke import script, smoke
from reference.conventions import conventions_from

HERE = Path(__file__).parent / "targets"
TORCH, NUMPY = (HERE / f"layers_{name}.py" for name in ("torch", "numpy"))
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch: pip install torch")


@needs_torch
def test_a_shape_that_changes_is_the_adapters_fault():
    with pytest.raises(TargetError, match=r"the adapter \(a torch module\)"):
        smoke(InProcessTarget(load(f"{TORCH}:Pool")))


def test_narrowing_outlives_the_process():
    with IsolatedTarget(f"{NUMPY}:images_only") as isolated:
        description, notes = smoke(isolated)
        assert description.ranks == (4,)
        assert [note.id for note in notes] == ["refuses"] * 3
        isolated._stop()
        isolated.play(script("train", 4, "float32"), 1)
        assert isolated.describe().ranks == (4,)


@needs_torch
def test_a_wrong_layer_gets_past_it():
    assert smoke(InProcessTarget(load(f"{TORCH}:ImagesOnlyKeepingMomentum")))[0].ranks == (4,)


def test_a_class_of_the_contract_is_left_alone():
    with IsolatedTarget(f"{HERE / 'misbehaving.py'}:Raises") as isolated:
        assert smoke(isolated) == (isolated.describe(), [])


@needs_torch
def test_what_a_target_declares_is_not_narrowed():
    """It fails at rank 2: that is for the cases to judge, since it says that it takes that."""
    description, notes = smoke(InProcessTarget(load(f"{TORCH}:DeclaresRankTwo")))
    assert description.ranks == (2, 4)
    assert description.dtypes == ("float32",)
    assert notes == []


# Keras has one backend a process, and a program is another process anyway (test_third_party.py); the Triton kernels
# have no CPU to run on (test_triton.py plays them in Triton's interpreter).
HERE_AND_NOW = [
    name
    for name, built_in in BUILT_IN.items()
    if not built_in.is_program and not name.startswith(("keras", "torch-compiled", "torch-triton", "tutorial"))
]


@pytest.mark.parametrize("name", HERE_AND_NOW)
def test_values_to_check_in_the_head(name):
    """x is 0 and 2 in turn, the parameters are 1 and 0: prediction gives x back, training -1 and 1."""
    if not is_installed(name):
        pytest.skip(f"{name} is not installed: {BUILT_IN[name].install}")
    factory = load(name)
    description = describe(factory)
    axis = conventions_from(description.conventions).channel_axis
    rank = 4 if 4 in description.ranks else description.ranks[0]
    dtype = next(name for name in (*DEFAULT_DTYPES[::-1], *description.dtypes) if name in description.dtypes)
    weight = conventions_from(description.conventions).new_weight(0.125)
    x = script("eval", rank, dtype).steps[0].x
    predicted, trained = (play(factory, script(op, rank, dtype), axis).steps[0] for op in ("eval", "train"))
    if name == "onnx-reference-7":
        assert predicted.error  # a finding
    elif not predicted.unsupported:
        moved = weight if name == "onnx-reference-9" else 0.0  # it moves the mean before it predicts: a finding
        assert np.allclose(predicted.values["y"], x - (1 - 0.125 if moved else 0), atol=1e-4)
    if not trained.unsupported:
        assert np.allclose(trained.values["y"], x - 1, atol=1e-4)
        assert name == "jax-stax" or np.allclose(trained.values["moving_mean"], weight)  # that keeps none
