"""A case: what goes into a batch norm, in which order, and which mistakes that separates.

Everything here has channels on axis 1; `play.py` moves them to where a target wants them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import ml_dtypes
import numpy as np

DTYPES = ("float64", "float32", "bfloat16", "float16")
DEFAULT_DTYPES = ("float64", "float32")


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of a name in DTYPES. Raises ValueError for any other."""
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def parameter_dtype(name: str) -> np.dtype:
    """Parameters and statistics: float32 for 16-bit input, else the input's own dtype."""
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


@dataclass(frozen=True)
class Step:
    """One call. `session` tells two objects that are alive at once apart; `layout` is how x lies in memory."""

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


Generator = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def gaussian(mean_over_std: float = 1.0, std: float = 1.0, spread: float = 1.5) -> Generator:
    """Normal values; channel c has the standard deviation std * spread^c-ish and both signs of mean."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        channels = np.arange(shape[1])
        stds = std * spread ** (channels % 3 - 1.0)
        means = mean_over_std * stds * np.where(channels % 2, -1.0, 1.0) * rng.uniform(1.0, 1.5, shape[1])
        return _per_channel(means, shape) + _per_channel(stds, shape) * rng.standard_normal(shape)

    return make


def wide_scales(low: float = 1e-3, high: float = 1e3) -> Generator:
    """Channels whose scales differ by orders of magnitude: a leak between channels shows at once."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        scales = np.geomspace(low, high, shape[1])
        return _per_channel(scales, shape) * (0.5 + rng.standard_normal(shape))

    return make


def relu_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """What follows a ReLU: about half exact zeros."""
    return np.maximum(rng.standard_normal(shape), 0.0) * 3


def with_constant_channel(value: float, channel: int = 1) -> Generator:
    """Normal values, but one channel holds the same number everywhere."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = gaussian()(rng, shape)
        x[:, channel] = value
        return x

    return make


def with_bad_value(value: float, channel: int = 1) -> Generator:
    """Normal values, but one value of one channel is NaN or Inf."""

    def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = gaussian()(rng, shape)
        x[(0, channel, *[0] * (len(shape) - 2))] = value
        return x

    return make


def exact(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Integers in pairs m + k, m - k: mean and variance are exact in any order of summation.

    The idea of building inputs whose statistics are exactly representable is oneDNN's (benchdnn, bnorm).
    n must be a power of two, so that dividing by it is exact as well.
    """
    n = int(np.prod(shape)) // shape[1]
    if n & (n - 1):
        raise ValueError(f"exact data need a power of two values a channel, got {n}")
    rows = np.empty((n, shape[1]))
    for c in range(shape[1]):
        offsets = 2.0 ** (rng.integers(0, 3)) * np.ones(n // 2)
        values = (3 + c) + np.concatenate([offsets, -offsets])
        rows[:, c] = rng.permutation(values)
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _per_channel(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return values.reshape(1, -1, *[1] * (len(shape) - 2))


@dataclass(frozen=True)
class Case:
    """A named case: data, script, and what it is for."""

    id: str
    why: str
    source: str
    separates: tuple[str, ...] = ()
    shape: tuple[int, ...] = (4, 5, 2, 3)
    data: Generator = field(default_factory=gaussian)
    script: tuple[str, ...] = ("eval", "train", "train", "eval")
    dtypes: tuple[str, ...] = DEFAULT_DTYPES
    eps: float = 1e-5
    new_weight: float = 0.125
    policy: str | tuple[int, ...] = ()
    """"all", or the channels in which honest implementations may differ; the other channels are law."""
    layout: str = "plain"
    gamma: float | None = None
    """One number for channel 0 (0.0, say); the other channels keep their random values."""
    moving_scale: tuple[float, float] = (1.0, 1.0)
    """Factors on the starting moving mean and variance (a large mean in prediction, a zero variance)."""
    quick: bool = False
    exact_statistics: bool = False

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

        `momentum` is in the target's own sense. Every train or eval step gets fresh data.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        sessions = 1 + max(_session(op) for op in self.script)
        setup_for = [self._setup(rng, dtype, momentum, eps) for _ in range(sessions)]
        steps = [self._step(rng, op, dtype) for op in self.script]
        return Script(tuple(setup_for), tuple(steps))

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
    """A prime marks the second of two objects alive at once: "train'" plays on session 1."""
    return op.count("'")


def at_other_shape(case: Case, shape: tuple[int, ...], suffix: str) -> Case:
    """The same case on another shape, under its own id."""
    return replace(case, id=f"{case.id}_{suffix}", shape=shape)
