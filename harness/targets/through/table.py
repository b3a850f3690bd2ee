"""All transformations, in one table. Nothing of a framework is imported to read it."""

from __future__ import annotations

from harness.targets.through.jax_table import JAX
from harness.targets.through.onnx_levels import ONNX_RUNTIME
from harness.targets.through.other_tables import KERAS, NUMPY, TENSORFLOW
from harness.targets.through.torch_table import TORCH
from harness.targets.through.transformation import Transformation

TABLE: tuple[Transformation, ...] = (*TORCH, *JAX, *NUMPY, *KERAS, *TENSORFLOW, *ONNX_RUNTIME)


def of_framework(framework: str) -> dict[str, Transformation]:
    """Name -> transformation."""
    return {transformation.name: transformation for transformation in TABLE if transformation.framework == framework}
