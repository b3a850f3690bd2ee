"""A case: what goes into a batch norm, in which order, and which mistakes that separates.

Everything here has channels on axis 1; the player moves them to where a target wants them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from harness.cases.data import Generator, gaussian

DTYPES = ("float64", "float32", "bfloat16", "float16")
DEFAULT_DTYPES = ("float64", "float32")


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of a name in DTYPES. Raises ValueError for any other."""
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def parameter_dtype(name: str) -> np.dtype:
    """The dtype of parameters and statistics: float32 for 16-bit input, otherwise the input's own."""
    return np.dtype(np.float64 if name == "float64" else np.float32)


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
    """One call. `session` says which of several objects alive at once it is made on; `layout`, how x lies in memory."""

    op: str  # "train" | "eval" | "train_no_grad" | "restore"
    x: np.ndarray | None = None
    dy: np.ndarray | None = None
    session: int = 0
    layout: str = "plain"  # "plain" | "sliced" | "read_only" | "transposed"


@dataclass(frozen=True)
class Script:
    """A case made concrete for one dtype and one seed: a setup per session and the steps."""

    setups: tuple[Setup, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Case:
    """A named case: data, script, and what it is for."""

    id: str
    why: str
    separates: tuple[str, ...] = ()
    """Ids of the mistakes for which this case is a witness."""
    traps: tuple[str, ...] = ()
    """Ids of the traps (`traps.py`) that this case sets."""
    source: str = ""
    """Where the idea comes from, if from no trap."""
    shape: tuple[int, ...] = (4, 5, 2, 3)
    data: Generator = field(default_factory=gaussian)
    script: tuple[str, ...] = ("eval", "train", "train", "eval")
    dtypes: tuple[str, ...] = DEFAULT_DTYPES
    eps: float = 1e-5
    new_weight: float = 0.125
    """The weight of the new batch in the moving average: 1 - momentum, or momentum, as conventions have it."""
    policy: str | tuple[int, ...] = ()
    """"all", or the channels in which honest implementations may differ; the other channels are law."""
    layout: str = "plain"
    gamma: float | None = None
    """Gamma of channel 0 (0.0, say); the other channels keep their random values."""
    moving_scale: tuple[float, float] = (1.0, 1.0)
    """Factors on the starting moving mean and variance (a large mean in prediction, a zero variance)."""
    quick: bool = False

    def is_policy(self, channel: int) -> bool:
        return self.policy == "all" or channel in self.policy

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def values_per_channel(self) -> int:
        return int(np.prod(self.shape)) // self.shape[1]

    def make(self, dtype: str, seed: int, momentum: float, eps: float | None = None) -> Script:
        """The script for one dtype: the same case and seed give the same numbers on every machine.

        `momentum` is in the target's own sense. Every training or prediction step gets fresh data.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        sessions = 1 + max(_session(op) for op in self.script)
        setups = [self._setup(rng, dtype, momentum, eps) for _ in range(sessions)]
        steps = [self._step(rng, op, dtype) for op in self.script]
        return Script(tuple(setups), tuple(steps))

    def _setup(self, rng: np.random.Generator, dtype: str, momentum: float, eps: float | None) -> Setup:
        channels, kind = self.shape[1], parameter_dtype(dtype)
        gamma = rng.uniform(0.5, 2.0, channels) * np.where(np.arange(channels) % 3 == 1, -1, 1)
        if self.gamma is not None:
            gamma[0] = self.gamma
        mean_scale, var_scale = self.moving_scale
        return Setup(
            num_features=channels,
            ndim=self.ndim,
            dtype=dtype,
            eps=self.eps if eps is None else eps,
            momentum=momentum,
            gamma=gamma.astype(kind),
            beta=(rng.uniform(0.5, 1.5, channels) * np.where(np.arange(channels) % 2, -1, 1)).astype(kind),
            moving_mean=(mean_scale * rng.uniform(-1.0, 1.0, channels)).astype(kind),
            moving_var=(var_scale * rng.uniform(0.25, 2.25, channels)).astype(kind),
        )

    def _step(self, rng: np.random.Generator, op: str, dtype: str) -> Step:
        name, session = op.rstrip("'"), _session(op)
        if name == "restore":
            return Step(name, session=session)
        x = self.data(rng, self.shape).astype(numpy_dtype(dtype))
        dy = (rng.standard_normal(self.shape) + 0.25).astype(numpy_dtype(dtype))
        return Step(name, x, dy, session, self.layout)


def _session(op: str) -> int:
    """The number of primes after an op is its session: "train'" is made on the second of two objects."""
    return op.count("'")
