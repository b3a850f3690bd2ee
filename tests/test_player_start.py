"""What a target's process does before it plays, hundreds of times in a matrix: it imports no more than it needs."""

import importlib.metadata
import sys

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


def test_a_step_of_torch_takes_no_symbolic_shapes(monkeypatch):
    """They import SymPy. The gradients are those of y.backward(dy), to the bit, whatever dtype and memory dy has."""
    torch = pytest.importorskip("torch")
    from harness.targets.wrap.torch_module import differentiate

    def gradients(derive, dy):
        x = torch.linspace(-1, 1, 12, dtype=torch.bfloat16).reshape(3, 4).requires_grad_()
        derive(x.exp() * x, dy)
        return x.grad

    for dy in (torch.randn(4, 3).T, torch.randn(3, 4).bfloat16(), torch.full((3, 4), torch.nan)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "torch.fx.experimental.symbolic_shapes", None)
            given = gradients(differentiate, dy)
        expected = gradients(torch.Tensor.backward, dy)
        assert given.dtype is expected.dtype
        np.testing.assert_array_equal(given.float().numpy(), expected.float().numpy())
