"""A case: what goes into a batch norm, in which order, and which mistakes that separates.

Everything here has channels on axis 1; the player moves them to where a target wants them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.cases.data import Generator, Gradient, gaussian, random_gradient
from harness.cases.options import Options, one
from harness.cases.script import DEFAULT_DTYPES, Directions, Script, Setup, Step, numpy_dtype, parameter_dtype
from harness.observables import DERIVATIVES


@dataclass(frozen=True)
class Parameters:
    """Values in place of random ones, in turn over the channels: (0.0, 1.5) gives 0, 1.5, 0, 1.5, 0."""

    gamma: tuple[float, ...] = ()
    beta: tuple[float, ...] = ()
    moving_mean: tuple[float, ...] = ()
    moving_var: tuple[float, ...] = ()


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
    shapes: tuple[tuple[int, ...], ...] = ()
    """Of the steps in turn, where they differ; `shape` is the first."""
    data: Generator = field(default_factory=gaussian)
    data_of_op: tuple[tuple[str, Generator], ...] = ()
    """(op, generator) of steps whose data are others than `data`."""
    gradient: Gradient = random_gradient
    direction: Gradient = random_gradient
    """Of x, in forward mode and second derivatives."""
    script: tuple[str, ...] = ("eval", "train", "train", "eval")
    dtypes: tuple[str, ...] = DEFAULT_DTYPES
    eps: float = 1e-5
    new_weight: float = 0.125
    """The weight of the new batch in the moving average: 1 - momentum, or momentum, as conventions have it."""
    policy: str | tuple[int, ...] = ()
    """"all", or the channels in which honest implementations may differ; the other channels are law."""
    may_refuse: bool = False
    """An exception is no fault here: what is asked is unusual. A result is judged as any."""
    layout: str = "plain"
    dy_layout: str = ""
    """As `layout` where empty."""
    parameters: Parameters = Parameters()
    moving_scale: tuple[float, float] = (1.0, 1.0)
    """Factors on the starting moving mean and variance (a large mean in prediction, a zero variance)."""
    options: Options = field(default_factory=Options)
    """What it asks of the layer beyond the ordinary one."""
    quick: bool = False

    def is_policy(self, channel: int, dtype: str) -> bool:  # noqa: ARG002 - a user's own case asks
        """Whether honest implementations may differ in that channel, in that dtype."""
        return self.policy == "all" or channel in self.policy

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def values_per_channel(self) -> int:
        return int(np.prod(self.shape)) // self.shape[1]

    @property
    def trains_on_single_values(self) -> bool:
        """Whether a training step has one value per channel, which is no ordinary batch."""
        single = self.values_per_channel == 1 or self.options.mask is one
        return single and any(op.startswith("train") for op in self.script)

    def make(self, dtype: str, seed: int, momentum: float, eps: float | None = None) -> Script:
        """The script for one dtype: the same case and seed give the same numbers on every machine.

        `momentum` is in the target's own sense. Every training or prediction step gets fresh data.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        sessions = 1 + max(_session(op) for op in self.script)
        setups = [self._setup(rng, dtype, momentum, eps) for _ in range(sessions)]
        shapes = self.shapes or (self.shape,)
        steps = [self._step(rng, op, shapes[i % len(shapes)], dtype) for i, op in enumerate(self.script)]
        return Script(tuple(setups), tuple(steps))

    def _setup(self, rng: np.random.Generator, dtype: str, momentum: float, eps: float | None) -> Setup:
        channels, kind = self.shape[1], parameter_dtype(dtype)
        mean_scale, var_scale = self.moving_scale
        values = {
            "gamma": rng.uniform(0.5, 2.0, channels) * np.where(np.arange(channels) % 3 == 1, -1, 1),
            "beta": rng.uniform(0.5, 1.5, channels) * np.where(np.arange(channels) % 2, -1, 1),
            "moving_mean": mean_scale * rng.uniform(-1.0, 1.0, channels),
            "moving_var": var_scale * rng.uniform(0.25, 2.25, channels),
        }
        for name in values:
            if given := getattr(self.parameters, name):
                values[name] = np.resize(np.array(given), channels)
        arrays: dict[str, Any] = {name: values[name].astype(kind) for name in values}
        arrays |= dict.fromkeys(self.options.absent)
        return Setup(
            num_features=channels,
            ndim=self.ndim,
            dtype=dtype,
            eps=self.eps if eps is None else eps,
            momentum=momentum,
            **arrays,
            cumulative=self.options.cumulative,
        )

    def _step(self, rng: np.random.Generator, op: str, shape: tuple[int, ...], dtype: str) -> Step:
        name, session = op.rstrip("'"), _session(op)
        if name == "restore":
            return Step(name, session=session)
        generator = dict(self.data_of_op).get(name, self.data)
        x = generator(rng, shape).astype(numpy_dtype(dtype))
        dy = self.gradient(rng, x.astype(np.float64)).astype(numpy_dtype(dtype))
        mask = None
        if self.options.mask is not None:
            without_channels = (shape[0], *shape[2:])
            mask = self.options.mask(rng, without_channels)
            dy = np.where(np.expand_dims(np.broadcast_to(mask, without_channels), 1), dy, dy.dtype.type(0))
        step = Step(name, x, dy, session, self.layout, self.dy_layout or self.layout, mask)
        return replace(step, directions=self._directions(rng, x, dtype)) if name in DERIVATIVES else step

    def _directions(self, rng: np.random.Generator, x: np.ndarray, dtype: str) -> Directions:
        """Drawn last, so that x and dy are those of an ordinary step. No entry is near 0: each term shows."""
        along_x = self.direction(rng, x.astype(np.float64)).astype(x.dtype)
        of_parameters = rng.uniform(0.5, 1.5, (2, x.shape[1])) * rng.choice([-1.0, 1.0], (2, x.shape[1]))
        return Directions(along_x, *of_parameters.astype(parameter_dtype(dtype)))


def _session(op: str) -> int:
    """The number of primes after an op is its session: "train'" is made on the second of two objects."""
    return op.count("'")
