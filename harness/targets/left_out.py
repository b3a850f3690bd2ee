"""Libraries that were looked at and are no targets, each with what was found. The matrix lists them."""

from __future__ import annotations

from dataclasses import dataclass

TRIED = "tried on 2026-11-27 with Python 3.11 on Linux x86-64"


@dataclass(frozen=True)
class LeftOut:
    install: str
    """The command that was tried."""
    reason: str


LEFT_OUT: dict[str, LeftOut] = {
    "coremltools": LeftOut(
        "pip install coremltools torch",
        "makes a batch_norm of its own of torch's layer here too, but runs it on macOS alone",
    ),
    "e3nn-jax": LeftOut(
        "pip install e3nn-jax flax",
        "another formula, as it documents: it divides by sqrt((1 - eps) var + eps)",
    ),
    "equinox, mode='ema'": LeftOut(
        "pip install equinox", "another formula, as it documents: it normalizes by the moving averages in training too"
    ),
    "jittor": LeftOut(
        "pip install jittor",
        "compiles itself at its first import: 30 of 150 files after three minutes on two busy cores, and then given up",
    ),
    "kornia": LeftOut("pip install kornia", "its models take torch.nn's layers as they are"),
    "mindspore": LeftOut("pip install mindspore", "runs, but takes 2.7 GB of its own, where 2 GB is the most"),
    "monai": LeftOut("pip install monai", "its factories give torch.nn's layers as they are"),
    "newton-vision": LeftOut("pip install newton-vision", "its wheel cannot be built from its sources"),
    "penzai": LeftOut("pip install penzai", "has no batch norm"),
    "pytensor": LeftOut("pip install pytensor", "has no batch norm any more: aesara kept Theano's"),
    "tflearn": LeftOut(
        "pip install tflearn tensorflow", "its last release, of 2020, imports a name that TensorFlow no longer has"
    ),
    "torch, quantized": LeftOut(
        "pip install torch",
        "torch.ao.nn.quantized.BatchNorm2d takes and gives 8-bit integers: no bound is proved",
    ),
    "torchax": LeftOut(
        "pip install torchax torch jax",
        "its last release, 0.0.13, names operators that torch 2.13 no longer has, and cannot be imported beside it",
    ),
    "treex": LeftOut("pip install treex", "pip fails to build what it needs from sources"),
}
"""By the name of the library."""
