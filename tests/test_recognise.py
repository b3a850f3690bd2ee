"""Zero-line targets: what the frameworks' own layers, factories and functions are taken for."""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check, check_target
from harness.judge.basis import basis
from harness.targets import load as target_module
from harness.targets.describe import describe
from harness.targets.in_process import InProcessTarget
from harness.targets.load import TargetError, load
from harness.targets.play import play
from harness.targets.recognise import NotRecognisedError, recognise
from harness.targets.smoke import script
from reference.conventions import PRESETS

HERE = Path(__file__).parent / "targets"
TORCH, JAX, NUMPY = (str(HERE / f"layers_{name}.py") for name in ("torch", "jax", "numpy"))
# Not in 16 bits, in which flax's own layer is known to differ.
CASES = tuple(replace(BY_ID[name], dtypes=("float64", "float32")) for name in ("rank4", "save_and_restore"))

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch: pip install torch")
needs_flax = pytest.mark.skipif(importlib.util.find_spec("flax") is None, reason="needs flax: pip install jax flax")
needs_keras = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs keras: pip install keras")


def checked(name, layer=""):
    """Played in this process, which has imported the frameworks; but Keras takes its backend from the environment."""
    options = CheckOptions(CASES, layer=layer)
    if name.startswith("keras"):
        (report,) = check([name], options)
        return report
    with warnings.catch_warnings(action="ignore"):
        return check_target(InProcessTarget(load(name, layer)), options)


# name, place of the layer in it, then what its conventions must come out as, and where they come from
AGREE = [
    pytest.param("torch.nn:BatchNorm2d", "", "new", "unbiased", 1, "declared", marks=needs_torch),
    pytest.param(f"{TORCH}:net", "1", "new", "unbiased", 1, "declared", marks=needs_torch),
    pytest.param(f"{TORCH}:ImagesOnly", "", "new", "biased", 1, "probed", marks=needs_torch),
    pytest.param(f"{TORCH}:batch_norm", "", "keep", "biased", 1, "probed", marks=needs_torch),
    pytest.param("flax.nnx:BatchNorm", "", "keep", "biased", -1, "declared", marks=needs_flax),
    pytest.param("keras.layers:BatchNormalization", "", "keep", "biased", -1, "declared", marks=needs_keras),
    (f"{NUMPY}:in_place", "", "new", "biased", -1, "probed"),
]

# name, channel axis, the weight of the new batch where momentum is 0.125
IN_THE_HEAD = [
    pytest.param("torch.nn.functional:batch_norm", 1, 0.125, marks=needs_torch),
    pytest.param(f"{TORCH}:make_norm", 1, 0.125, marks=needs_torch),
    pytest.param("flax.linen:BatchNorm", -1, 0.875, marks=needs_flax),
    pytest.param(f"{JAX}:Linen", -1, 0.875, marks=needs_flax),
    pytest.param(f"{JAX}:Nnx", -1, 0.875, marks=needs_flax),
    pytest.param(f"{JAX}:batch_norm", -1, 0.875, marks=needs_flax),
    pytest.param(f"{JAX}:compiled", -1, 0.875, marks=needs_flax),
    pytest.param(f"{JAX}:compiled_for_numbers", -1, 0.875, marks=needs_flax),
]


@pytest.mark.parametrize(("name", "axis", "weight"), IN_THE_HEAD)
def test_recognised_and_plays_as_it_should(name, axis, weight):
    """x is 0 and 2 in turn: mean and variance 1. Prediction gives x back, training -1 and 1."""
    target = load(name)
    predicted, trained = (play(target, script(op, 4, "float32"), axis).steps[0] for op in ("eval", "train"))
    x = script("eval", 4, "float32").steps[0].x
    assert np.allclose(predicted.values["y"], x, atol=1e-4)
    assert np.allclose(trained.values["y"], x - 1, atol=1e-4)
    assert np.allclose(trained.values["moving_mean"], weight)
    assert np.allclose(trained.values["dbeta"], x.size / x.shape[1])


@needs_torch
def test_no_note_says_what_was_taken_for_what_in_a_built_in():
    report = checked("torch")
    assert report.verdict == "agree"
    assert not any(note.id == "wrapped" for note in report.notes)


@needs_flax
def test_a_compiled_function_of_jax_is_one():
    """Under jax.jit it has no globals of its own: its module says whose arrays it takes."""
    factory = load("jax")
    assert factory(script("eval", 2, "float32").setups[0]).adapter == "a JAX function"
    assert {"train_no_grad", "state", "load_state"} <= {*describe(factory).methods}


@pytest.mark.parametrize(("name", "layer", "momentum", "moving_var", "axis", "source"), AGREE)
def test_recognised_and_right(name, layer, momentum, moving_var, axis, source):
    report = checked(name, layer)
    assert report.load_error is None
    assert report.verdict == "agree", [j for j in report.judgements if j.counts_against][:2]
    assert (report.conventions.momentum, report.conventions.moving_var) == (momentum, moving_var)
    assert (report.conventions.channel_axis, report.source) == (axis, source)
    assert any(note.id == "wrapped" for note in report.notes)


@needs_torch
def test_a_fault_of_a_wrapped_layer_is_a_fault():
    report = checked(f"{TORCH}:ImagesOnlyKeepingMomentum")
    assert report.verdict == "differ"
    assert report.load_error is None


@needs_torch
def test_statistics_in_plain_attributes_are_found_and_their_loss_is_seen():
    report = checked(f"{TORCH}:PlainAttributes")
    assert {j.case for j in report.judgements if j.counts_against} == {"save_and_restore"}


@needs_torch
def test_ranks_that_a_layer_refuses_are_told():
    report = checked(f"{TORCH}:ImagesOnly")
    refused = [note.text for note in report.notes if note.id == "refuses"]
    assert len(refused) == 3
    assert all("images only" in text for text in refused)


@needs_torch
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("StrangeNames", "no gamma and no beta in StrangeNames: seen foo (3,), quux (3,)"),
        ("HardCodedEps", "lets nobody set eps"),
        ("Pool", "not a batch norm"),
    ],
)
def test_what_does_not_fit_says_what_was_seen(name, message):
    report = checked(f"{TORCH}:{name}")
    assert message in report.load_error


@needs_torch
@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("net", "", "name the layer in it with --layer PATH. It holds 0: Conv2d, 1: BatchNorm2d, 2: Sequential"),
        ("net", "7", "has no '7'; it holds 0: Conv2d"),
        ("net", "2.5", "2 (Sequential) has no '5'; it holds 0: Linear"),
        ("not_a_layer", "", "returned a list"),
    ],
)
def test_what_cannot_be_wrapped_says_what_was_seen(name, layer, message):
    with pytest.raises(TargetError, match=re.escape(message)):
        load(f"{TORCH}:{name}", layer)


@needs_torch
@pytest.mark.filterwarnings("ignore:`torch.jit")  # deprecated, and still what people have
def test_a_scripted_module_is_refused_and_a_factory_of_one_is_not():
    import torch

    with pytest.raises(NotRecognisedError, match=r"compiled by TorchScript.*def make_norm"):
        recognise(torch.jit.script(torch.nn.BatchNorm2d(3)))

    def make_norm(num_features, eps=1e-5, momentum=0.1):
        return torch.jit.script(torch.nn.Sequential(torch.nn.BatchNorm2d(num_features, eps, momentum)))

    play_script = script("train", 4, "float32")
    (trained,) = play(recognise(make_norm), play_script, 1).steps
    assert np.allclose(trained.values["y"], play_script.steps[0].x - 1, atol=1e-4)
    assert np.allclose(trained.values["moving_mean"], 0.125)


@needs_torch
def test_a_built_object_keeps_its_conventions():
    from impls.pytorch.batch_norm import BatchNorm

    assert recognise(BatchNorm(3)).conventions == PRESETS["d2l"]
    assert recognise(BatchNorm(3, conventions=PRESETS["flax"])).conventions == PRESETS["flax"]


def test_a_class_that_is_not_of_the_contract_says_what_it_takes():
    with pytest.raises(TargetError, match=r"cannot be built from one argument.*\(num_features, eps\)"):
        load(f"{NUMPY}:NeedsMore")


@needs_flax
def test_a_linen_module_without_a_mode_is_the_adapters_failure():
    report = checked(f"{JAX}:NoMode")
    assert "tells training from prediction" in report.load_error


def test_a_function_without_a_mode_predicts_nothing():
    (report,) = check([f"{NUMPY}:training_only"], CheckOptions((BY_ID["rank4"],)))
    assert report.load_error is None
    assert report.verdict == "unsupported"
    assert "tells training from prediction" in report.judgements[0].message


@needs_torch
def test_layer_on_the_command_line():
    command = [sys.executable, "-m", "harness.cli", "check", f"{TORCH}:net", "--layer", "1", "--case", "rank4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "net#1: agree" in done.stdout


def test_an_entry_point_is_a_target(monkeypatch):
    entry = importlib.metadata.EntryPoint("my_norm", f"{NUMPY}:in_place", target_module.ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry] if group == entry.group else [])
    target = load("my_norm")
    assert describe(target).adapter == "a function"
    assert target(script("eval", 2, "float32").setups[0]).adapter == "a NumPy function"


# --- by whose conventions what declares nothing is judged ---


@needs_torch
def test_a_subclass_is_judged_by_its_frameworks_conventions():
    """Inverting momentum is a fault there, where a probe would take it for a convention."""
    report = checked(f"{TORCH}:SubclassInverted")
    assert report.source == "declared"
    assert report.verdict == "differ"
    assert [finding.id for finding in report.diagnosis] == ["momentum_inverted"]
    assert basis(report) == "by torch's conventions, as a subclass of its layer"


@needs_flax
@pytest.mark.parametrize("name", ["NnxSubclass", "LinenSubclass"])
def test_a_subclass_of_flaxs_layers_is_judged_by_their_conventions(name):
    report = checked(f"{JAX}:{name}")
    assert (report.source, report.verdict) == ("declared", "agree")
    assert basis(report) == "by flax's conventions, as a subclass of its layer"


@needs_torch
def test_a_subclass_that_declares_its_conventions_keeps_them():
    report = checked(f"{TORCH}:SubclassDeclared")
    assert report.conventions.momentum == "keep"
    assert (report.verdict, basis(report)) == ("agree", "")


@needs_torch
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("batch_norm", "as probed: momentum=keep, moving_var=biased; torch's layers take new, unbiased"),
        ("ImagesOnly", "as probed: moving_var=biased; torch's layers take unbiased"),
    ],
)
def test_a_probed_layer_says_how_it_differs_from_its_framework(name, words):
    report = checked(f"{TORCH}:{name}")
    assert (report.verdict, basis(report)) == ("agree", words)


def test_a_frameworks_own_layer_needs_no_such_words():
    assert basis(checked("numpy")) == ""
