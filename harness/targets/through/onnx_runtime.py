"""ONNX Runtime's graph optimizations, a level each: what they rewrite must compute the same."""

from __future__ import annotations

from typing import Any

from harness.targets.through.transformation import Transformation

LEVELS = {
    "unoptimized": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all-optimizations": "ORT_ENABLE_ALL",
}


def members(transformation: Transformation) -> dict[str, Any]:
    """What a subclass of the target that runs ONNX Runtime has in place of its own."""
    return {"optimization": LEVELS[transformation.name]}
