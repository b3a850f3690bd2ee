"""JAX functions through transformations: what each must keep, and a function for each that does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Verdict
from harness.targets.in_process import InProcessTarget
from harness.targets.load import TargetError, load
from harness.targets.through import jax_orders
from harness.targets.through.own_folds import OWN_FOLDS
from harness.targets.through.table import TABLE, of_framework
from harness.targets.through.through import ROOMS, missing_needs

nnx = pytest.importorskip("flax.nnx")
from harness.targets.through import nnx_lifted  # noqa: E402

FUNCTIONS = str(Path(__file__).parent / "targets" / "through_jax.py")
CASE = replace(BY_ID["rank4"], dtypes=("float32",))
OF_SECOND_DERIVATIVES = replace(BY_ID["double"], dtypes=("float32",))
MUTANTS = (
    ("jit", "swaps_when_traced", "momentum_inverted"),
    ("donate", "swaps_when_traced", ""),
    ("remat", "swaps_when_traced", ""),
    ("export", "swaps_when_traced", ""),
    ("scan", "swaps_when_traced", ""),
    ("vmap", "flattens", ""),
    ("vmap-axis-name", "syncs_unasked", ""),
    ("x32", "needs_float64", ""),
    ("reverse-over-forward", "stops_in_its_rule", "double_var_constant"),
    ("forward-over-forward", "stops_in_its_rule", "double_var_constant"),
)
"""Transformation, the function that it breaks, and the mistake that is named where the list of mistakes has it."""


def checked(name, transformation="", diagnosed=False):
    player = InProcessTarget(load(name, "", transformation))
    case = OF_SECOND_DERIVATIVES if transformation in jax_orders.ORDERS else CASE
    return check_target(player, CheckOptions((case,), diagnosed=diagnosed))


@pytest.mark.parametrize("transformation", [name for name in of_framework("jax") if name not in OWN_FOLDS])
def test_a_right_function_agrees(transformation):
    missing = missing_needs(of_framework("jax")[transformation])
    report = checked(f"{FUNCTIONS}:batch_norm", transformation)
    assert report.verdict == ("unsupported" if missing else "agree")
    assert not missing or {judgement.message for judgement in report.judgements} == {
        f"NotImplementedError: {transformation} needs {missing[0]}: not installed"
    }


@pytest.mark.parametrize(("transformation", "name", "mistake"), MUTANTS)
def test_a_wrong_one_is_flagged(transformation, name, mistake):
    if missing_needs(of_framework("jax")[transformation]):
        pytest.skip(f"{transformation} needs a module that is not installed")
    report = checked(f"{FUNCTIONS}:{name}", transformation, bool(mistake))
    assert report.verdict in (Verdict.differ, Verdict.raised), report.load_error
    if mistake:
        assert mistake in [finding.id for finding in report.diagnosis]


@pytest.mark.parametrize("name", sorted({name for _, name, _ in MUTANTS}))
def test_as_it_is_each_agrees(name):
    assert checked(f"{FUNCTIONS}:{name}").verdict == "agree"


@pytest.mark.parametrize("transformation", ["split-merge", "scan", *nnx_lifted.CALLS])
def test_flax_modules_agree(transformation):
    assert checked("flax", transformation).verdict == "agree"


@pytest.mark.parametrize("transformation", nnx_lifted.CALLS)
def test_what_nnx_moves_on_a_copy_is_lost(transformation, monkeypatch):
    """As where the module was captured, and not given."""
    right = nnx_lifted.CALLS[transformation]
    monkeypatch.setitem(nnx_lifted.CALLS, transformation, lambda layer, *given: right(nnx.clone(layer), *given))
    report = checked("flax", transformation, diagnosed=True)
    assert [finding.id for finding in report.diagnosis] == ["stats_frozen"]


def test_a_transformation_of_another_framework_is_refused():
    with pytest.raises(TargetError, match="jax has no transformation 'deepcopy'; it has jit, nojit"):
        load(f"{FUNCTIONS}:batch_norm", "", "deepcopy")
    with pytest.raises(TargetError, match="only a layer of torch, JAX, flax or Keras"):
        load(f"{Path(__file__).parent / 'targets' / 'oddities.py'}:WideInside", "", "jit")
    with pytest.raises(TargetError, match="numpy has no transformation 'jit'; it has fold"):
        load("numpy", "", "jit")


def test_each_has_a_room_and_a_source():
    for transformation in TABLE:
        assert transformation.framework in ROOMS
        assert transformation.source.startswith("https://")
        assert transformation.keeps
        assert (len(transformation.keeps) == 4) != bool(transformation.lacks)
        missing_needs(transformation)
