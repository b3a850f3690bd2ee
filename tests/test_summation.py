"""What a target says of its sums reaches the bounds and is shown; how many threads it may use reaches its process."""

import json
from collections import OrderedDict

import pytest

from harness.cases.catalogue import BY_ID
from harness.judge import kept_bounds, layer_bounds
from harness.judge.prepare import prepare
from harness.targets.describe import describe
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError, factory_of, load
from reference.conventions import PRESETS
from tests.in_process import checked
from tests.targets.mutants.right import D2l

LAYERS = """
import os
from tests.targets.mutants.right import D2l

class Pairwise(D2l):
    summation = "pairwise"

class Sideways(D2l):
    summation = "sideways"

class Threads(D2l):
    def __init__(self, setup):
        print("threads", os.environ["OMP_NUM_THREADS"], os.environ.get("MKL_NUM_THREADS"))
        super().__init__(setup)
"""


class NotWide(D2l):
    """NumPy adds float64 in float64."""

    summation = "wide"


@pytest.fixture
def layers(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text(LAYERS)
    return path


def test_the_bounds_are_asked_for_by_what_is_declared(monkeypatch):
    asked = []
    monkeypatch.setattr(kept_bounds, "_kept", OrderedDict())
    for module, name in ((kept_bounds, "train_bounds"), (layer_bounds, "eval_bounds")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda *given, original=original, **named: asked.append(named["summation"]) or original(*given, **named),
        )
    report = checked(NotWide, seed=7, cases=(BY_ID["rank2"],))
    assert asked.count("wide") == asked.count("any") > 0  # what the oracle may be off is a share of the latter
    assert report.verdict == "differ"


def test_expected_values_are_kept_apart_by_summation():
    case, d2l = BY_ID["rank2"], PRESETS["d2l"]
    assert prepare(case, "float32", 0, d2l, "wide") is not prepare(case, "float32", 0, d2l)
    assert prepare(case, "float32", 0, d2l, "any") is prepare(case, "float32", 0, d2l, "any")


def test_an_unknown_summation_is_refused(layers):
    with pytest.raises(TargetError, match="summation may be any, pairwise, pairwise_in_order, wide; it is 'sideways'"):
        load(f"{layers}:Sideways")


def test_the_command_shows_it(layers, tmp_path, capsys):
    from harness.cli.check import run
    from harness.cli.request import CheckRequest

    file = tmp_path / "verdict.json"
    request = CheckRequest((f"{layers}:Pairwise",), case_ids=("rank2",), json_file=file, threads=2)
    assert run(request) == 0
    assert "summation=pairwise" in capsys.readouterr().out
    assert json.loads(file.read_text())["targets"][0]["summation"] == "pairwise"


@pytest.mark.parametrize(("threads", "said"), [(None, "threads 1 None"), (2, "threads 2 2")])
def test_a_target_gets_its_threads(layers, threads, said, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    script = BY_ID["rank2"].make("float32", 0, 0.875)
    with IsolatedTarget(f"{layers}:Threads", threads=threads) as target:
        target.play(script, 1)
        assert said in target.printed()


def function(x, gamma, beta, moving_mean, moving_var, eps, momentum, training):  # noqa: ARG001 - the contract of one
    return x


def test_what_a_wrapped_function_promises_is_not_lost(monkeypatch):
    monkeypatch.setattr(function, "summation", "wide", raising=False)
    monkeypatch.setattr(function, "folded", True, raising=False)
    wrapped = factory_of(function, "function")
    assert describe(wrapped).summation == "wide"
    assert describe(wrapped).folded
    assert not describe(wrapped).rescaled
    monkeypatch.setattr(function, "summation", "sideways")
    with pytest.raises(TargetError, match="it is 'sideways'"):
        factory_of(function, "function")
