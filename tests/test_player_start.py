"""What a target's process does before it plays, hundreds of times in a matrix: it imports no more than it needs."""

import importlib.metadata

import ml_dtypes
import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.targets.describe import version_of
from harness.targets.isolate import IsolatedTarget

TARGET = """
import gc, sys
AT_IMPORT = [name for name in ("importlib.metadata", "email") if name in sys.modules], gc.isenabled()

class Norm:
    conventions = "torch"

    def __init__(self, setup):
        raise RuntimeError(f"at import {AT_IMPORT}, then {gc.isenabled()}")

    def train(self, x, dy):
        raise NotImplementedError
"""


def test_it_reads_no_metadata_and_looks_for_no_garbage_until_it_plays(tmp_path):
    (tmp_path / "norm.py").write_text(TARGET)
    with IsolatedTarget(f"{tmp_path / 'norm.py'}:Norm") as player:
        report = check_target(player, CheckOptions((BY_ID["rank2"],), diagnosed=False))
    assert "at import ([], False), then True" in str(
        [report.load_error, *(judgement.message for judgement in report.judgements)]
    )


@pytest.mark.parametrize("name", ["numpy", "ml_dtypes", "torch", "jax", "jaxlib", "flax", "optax"])
def test_versions_are_those_of_the_metadata(name):
    module = pytest.importorskip(name)
    assert version_of(name, module) == importlib.metadata.version(name)


def test_where_a_module_lies_apart_from_its_metadata_these_are_asked(monkeypatch):
    monkeypatch.setattr(ml_dtypes, "__file__", __file__)
    assert version_of("ml_dtypes", ml_dtypes) == importlib.metadata.version("ml_dtypes")
    assert version_of("no-such-distribution", np) is None
