"""What a target is asked to do, made concrete: setups and steps in one dtype, and the words for dtypes and layouts.

A player has this module too, wherever it runs: it needs NumPy and Python 3.9, and ml_dtypes for bfloat16 alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


NO_GAMMA, NO_BETA, NO_STATISTICS, CUMULATIVE, MASKED = (
    "no_gamma",
    "no_beta",
    "no_statistics",
    "cumulative",
    "masked",
)
OPTIONS = (NO_GAMMA, NO_BETA, NO_STATISTICS, CUMULATIVE, MASKED)
"""What a target may offer beyond the ordinary layer, as it declares it."""

FROZEN = "frozen"
"""The operation of a layer that is frozen in a model that trains."""

WITHOUT = {NO_GAMMA: ("gamma",), NO_BETA: ("beta",), NO_STATISTICS: ("moving_mean", "moving_var")}
"""The option to be built without a part -> the fields of a setup that are None then."""

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


Parameter = Any
"""An array of shape (C,); None, which few readers need to think of, where a layer is built without."""


@dataclass(frozen=True)
class Setup:
    """What a target is built from (the contract's `setup`). The four arrays have shape (C,).

    An array is None, for a target that offers that, where the layer is built without: gamma (no scale), beta (no
    shift), both moving statistics (none are kept, and prediction normalizes by the batch's own).
    """

    num_features: int
    ndim: int
    dtype: str
    eps: float | None
    momentum: float | None
    gamma: Parameter
    beta: Parameter
    moving_mean: Parameter
    moving_var: Parameter
    device: str = "cpu"
    """Where a target that says `devices` computes: "cpu" or "cuda"."""
    cumulative: bool = False
    """The moving statistics are the average over all batches, the t-th weighing 1/t; `momentum` says nothing then."""


@dataclass(frozen=True)
class Directions:
    """What a derivative is taken along: tangents of x, gamma and beta, or (ddx, ddgamma, ddbeta).

    x: of the step's x's shape and dtype; gamma, beta: (C,), of the parameters' dtype.
    """

    x: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class Step:
    """One call. `session` says which of several objects alive at once it is made on; the layouts, how x and dy lie in
    memory.

    "frozen" is a training step of a model in which this layer is frozen: its statistics are used and do not move.
    "restore" saves the state, and loads it into a new object that takes the old one's place. "restore_used" loads it
    into one that has trained on x and dy before. "train_jvp" and "eval_jvp" are forward mode, "train_double" and
    "eval_double" second derivatives, both along `directions`.
    """

    op: str  # "train" | "eval" | "train_no_grad" | "frozen" | "restore" | "restore_used" | one of DERIVATIVES
    x: np.ndarray | None = None
    dy: np.ndarray | None = None
    session: int = 0
    layout: str = "plain"  # one of LAYOUTS
    dy_layout: str = "plain"
    mask: np.ndarray | None = None
    """Booleans of x's shape without the channel axis, or that broadcast to it: where an element counts."""
    directions: Directions | None = None

    @property
    def restores(self) -> bool:
        return self.op.startswith("restore")

    @property
    def trains(self) -> bool:
        """Whether the batch's own statistics are used, and move the moving ones."""
        return self.op.startswith("train")

    @property
    def values_per_channel(self) -> int:
        """How many values of a channel count; x has its channels on axis 1."""
        assert self.x is not None
        if self.mask is None:
            return self.x.size // self.x.shape[1]
        return int(np.broadcast_to(self.mask, (self.x.shape[0], *self.x.shape[2:])).sum())


@dataclass(frozen=True, eq=False)
class Script:
    """A case made concrete for one dtype and one seed: a setup per session and the steps. Equal to itself alone."""

    setups: tuple[Setup, ...]
    steps: tuple[Step, ...]
