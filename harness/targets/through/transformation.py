"""A transformation as data: what is done to a layer, and what the layer must keep."""

from __future__ import annotations

from dataclasses import dataclass

TRAINING, PREDICTION, GRADIENTS, STATISTICS = "training", "prediction", "gradients", "statistics"
EVERYTHING = (TRAINING, PREDICTION, GRADIENTS, STATISTICS)
SECOND = "second derivatives"
"""What is judged of a transformation that is about them, and of no other."""


@dataclass(frozen=True)
class Transformation:
    """The layer must do through it what it did before, as far as `keeps` says."""

    name: str
    framework: str
    """Whose layers it transforms: "torch", "jax", "nnx", "linen", "numpy", "keras", "tensorflow" or
    "onnxruntime"."""
    what: str
    source: str
    """Where it is described, or where its trouble with batch norm is."""
    keeps: tuple[str, ...] = EVERYTHING
    """What is judged: some of `EVERYTHING`, or `SECOND`. The rest is unsupported."""
    needs: tuple[str, ...] = ()
    """The modules that must be importable besides the framework."""
    program: str = ""
    """A program that must be on the PATH."""
    lacks: str = ""
    """Why something is not judged."""
