"""What a target is asked to do, made concrete: setups and steps in one dtype, and the words for dtypes and layouts.

A player has this module too, wherever it runs: it needs NumPy and Python 3.9, and ml_dtypes for bfloat16 alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DTYPES = ("float64", "float32", "bfloat16", "float16")
DEFAULT_DTYPES = ("float64", "float32")


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of a name in DTYPES. Raises ValueError for any other."""
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")
    if name == "bfloat16":
        import ml_dtypes  # a player needs it for bfloat16 alone

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def parameter_dtype(name: str) -> np.dtype:
    """The dtype of parameters and statistics: float32 for 16-bit input, otherwise the input's own."""
    return np.dtype(np.float64 if name == "float64" else np.float32)


LAYOUTS = (
    "plain",
    "sliced",  # every second value of a wider array
    "read_only",
    "transposed",  # the strides in the opposite order
    "offset",  # a view that starts within a larger array
    "moved_channels",  # NHWC memory under an NCHW shape, or the other way round
    "reversed",  # negative strides along every axis
    "broadcast",  # all samples share the memory of the first: a stride of zero
)
"""How an input may lie in memory."""


@dataclass(frozen=True)
class Setup:
    """What a target is built from (the contract's `setup`). The four arrays have shape (C,)."""

    num_features: int
    ndim: int
    dtype: str
    eps: float | None
    momentum: float | None
    gamma: np.ndarray
    beta: np.ndarray
    moving_mean: np.ndarray
    moving_var: np.ndarray
    device: str = "cpu"
    """Where a target that says `devices` computes: "cpu" or "cuda"."""


@dataclass(frozen=True)
class Step:
    """One call. `session` says which of several objects alive at once it is made on; the layouts, how x and dy lie in
    memory.

    "restore" saves the state, and loads it into a new object that takes the old one's place. "restore_used" loads it
    into one that has trained on x and dy before.
    """

    op: str  # "train" | "eval" | "train_no_grad" | "restore" | "restore_used"
    x: np.ndarray | None = None
    dy: np.ndarray | None = None
    session: int = 0
    layout: str = "plain"  # one of LAYOUTS
    dy_layout: str = "plain"

    @property
    def restores(self) -> bool:
        return self.op.startswith("restore")


@dataclass(frozen=True, eq=False)
class Script:
    """A case made concrete for one dtype and one seed: a setup per session and the steps. Equal to itself alone."""

    setups: tuple[Setup, ...]
    steps: tuple[Step, ...]
