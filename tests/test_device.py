"""Where a target computes: by its name, as its class allows, and as every judgement records."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.cli.every_library import MatrixOptions, make
from harness.cli.library_jobs import LibraryJob, NoEnvironment, judge_library
from harness.cli.verdicts import as_json
from harness.errors import UsageError
from harness.targets.built_in import BUILT_IN, built_in, computing_on
from harness.targets.device import DeviceError, for_device, on_device, split_device, started_on
from harness.targets.in_process import InProcessTarget
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError
from harness.targets.play import play
from reference.under_test import NumpyBatchNorm

RANK2 = BY_ID["rank2"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("torch", ("torch", "cpu")),
        ("torch-native@cuda", ("torch-native", "cuda")),
        ("./my@home/mine.py:Norm", ("./my@home/mine.py:Norm", "cpu")),
        ("./my@cuda/mine.py:Norm@cuda", ("./my@cuda/mine.py:Norm", "cuda")),
    ],
)
def test_a_name_may_say_where(name, parts):
    assert split_device(name) == parts
    assert on_device(*parts) == name


def test_a_name_that_says_it_is_not_overruled():
    assert split_device("torch@cpu", "cuda") == ("torch", "cpu")
    assert split_device("torch", "cuda") == ("torch", "cuda")


def test_jax_is_told_where_and_the_user_has_the_last_word_on_a_cpu():
    assert for_device({}, "cpu") == {"JAX_PLATFORMS": "cpu"}
    assert for_device({"JAX_PLATFORMS": "tpu"}, "cpu") == {"JAX_PLATFORMS": "tpu"}
    assert for_device({"JAX_PLATFORMS": "cpu"}, "cuda")["JAX_PLATFORMS"] == "cuda"


def test_a_class_that_says_nothing_computes_on_the_cpu():
    assert started_on(NumpyBatchNorm, "cpu") == "cpu"
    with pytest.raises(DeviceError, match=r'devices = \("cpu", "cuda"\)'):
        started_on(NumpyBatchNorm, "cuda")


def test_a_class_that_goes_by_the_device_is_told_it(monkeypatch):
    seen = []

    class Either(NumpyBatchNorm):
        devices = ("cpu", "cuda")

        def __init__(self, setup):
            seen.append(setup.device)
            super().__init__(setup)

    monkeypatch.delitem(sys.modules, "torch", raising=False)  # what would be asked whether there is a GPU
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    assert started_on(Either, "cuda") == "cuda:0"
    script = RANK2.make("float32", 0, 0.9)
    play(Either, script, 1, "cuda")
    play(Either, script, 1)
    assert seen == ["cuda", "cpu"]


def test_every_library_is_asked_what_it_sees(monkeypatch):
    """Under the names of its own; without a GPU nothing is put in its place."""
    seen: list = []
    details = SimpleNamespace(get_device_details=lambda device: {"device_name": device})
    tensorflow = SimpleNamespace(config=SimpleNamespace(list_physical_devices=lambda _: seen, experimental=details))
    cuda = SimpleNamespace(device_count=lambda: len(seen), get_device_name=lambda _: seen[0])
    paddle = SimpleNamespace(device=SimpleNamespace(is_compiled_with_cuda=lambda: True, cuda=cuda))
    for library, module in (("tensorflow", tensorflow), ("paddle", paddle)):
        monkeypatch.setitem(sys.modules, library, module)
        target = SimpleNamespace(devices=("cpu", "cuda"), library=library)
        seen.clear()
        assert started_on(target, "cpu") == "cpu"
        with pytest.raises(DeviceError, match=f"{library} sees no cuda device"):
            started_on(target, "cuda")
        seen.append("A GPU")
        assert started_on(target, "cuda") == "cuda:0 A GPU"


def test_every_judgement_records_it():
    report = check_target(InProcessTarget(NumpyBatchNorm), CheckOptions((RANK2,)))
    (target,) = as_json([report])["targets"]
    assert target["device"] == "cpu"
    assert {case["device"] for case in target["cases"]} == {"cpu"}


def test_a_device_that_is_not_there_is_a_usage_error():
    with IsolatedTarget("numpy@cuda") as target:
        assert target.name == "numpy@cuda"
        with pytest.raises(TargetError, match=r"numpy@cuda.*cpu only"):
            target.describe()


def test_the_matrix_on_a_gpu_leaves_out_what_computes_on_the_cpu_alone() -> None:
    on_gpu = computing_on("cuda")
    assert {"torch@cuda", "jax@cuda", "torch-native@cuda", "haiku@cuda"} <= {*on_gpu}
    assert not {"numpy@cuda", "torch-mkldnn@cuda", "onnx-reference-15@cuda"} & {*on_gpu}
    assert computing_on("cpu") == tuple(BUILT_IN)
    assert built_in("haiku@cuda") is BUILT_IN["haiku"]


def test_the_matrix_lists_what_computes_on_a_gpu_alone_with_its_reason() -> None:
    job = LibraryJob("torch-triton", "quick", 0, only_here=True)
    judged = judge_library(job, lambda *_: None)
    assert judged == NoEnvironment("torch-triton", "it computes on cuda alone: torch-triton@cuda")


def test_the_matrix_refuses_a_name_on_a_device_that_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'haikoo@cuda' is no target of the matrix"):
        make(MatrixOptions(tmp_path, targets=("haikoo@cuda",)))
