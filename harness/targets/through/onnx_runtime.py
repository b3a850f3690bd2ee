"""ONNX Runtime's graph optimizations, a level each: what they rewrite must compute the same."""

from __future__ import annotations

from harness.targets.results import Members
from harness.targets.through import onnx_folds
from harness.targets.through.onnx_levels import FOLD_LEVELS, LEVELS
from harness.targets.through.transformation import Transformation


def members(transformation: Transformation) -> Members:
    """What a subclass of the target that runs ONNX Runtime has in place of its own."""
    if transformation.name in LEVELS:
        return {"optimization": LEVELS[transformation.name]}
    fold, _, level = transformation.name.rpartition("-")
    return onnx_folds.members(fold, FOLD_LEVELS[level])
