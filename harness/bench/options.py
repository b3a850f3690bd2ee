"""What can be chosen about a comparison of throughput."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDS = 9

LAYER_SHAPES = (
    (256, 6, 24, 24), (256, 16, 8, 8), (64, 64, 56, 56), (256, 120), (32, 256, 14, 14), (8, 512, 7, 7),
    (128, 3, 224, 224),
)  # fmt: skip
"""(N, C, ...): layers of LeNet, of residual networks, and images."""
LARGE = (256, 64, 56, 56)
"""205 MB in float32."""
FRAMEWORKS = ("torch", "jax")
LAYOUTS = FIRST, LAST = ("channels first", "channels last")
DTYPES = ("float32", "bfloat16")
MODES = TRAINING, PREDICTION = ("training", "prediction")
WAYS = FORWARD, BACKWARD, BOTH = ("forward", "backward", "both")


@dataclass(frozen=True)
class ThroughputOptions:
    rounds: int = ROUNDS
    """After one that warms up."""
    device: str = "cpu"
    """"cpu" or "cuda". NumPy stays on the CPU whatever it is."""
    compiled: bool = False
    """PyTorch's steps compiled as well, as a contestant of its own."""
    seed: int = 0


@dataclass(frozen=True)
class LayerOptions:
    """Which layers are timed: every combination of what is listed."""

    rounds: int = ROUNDS
    device: str = "cpu"
    frameworks: tuple[str, ...] = FRAMEWORKS
    shapes: tuple[tuple[int, ...], ...] = LAYER_SHAPES
    layouts: tuple[str, ...] = LAYOUTS
    dtypes: tuple[str, ...] = DTYPES[:1]
    modes: tuple[str, ...] = (TRAINING,)
    ways: tuple[str, ...] = (BOTH,)
    threads: int | None = None
    """Of the CPU; None: as many as there are."""
    seconds: float = 0.05
    """Of calls in a round, so that a short call is not measured by one tick of the clock."""


@dataclass(frozen=True)
class LayerCase:
    """One of those combinations, of one framework."""

    framework: str
    shape: tuple[int, ...]
    """(N, C, ...), whatever the layout."""
    layout: str
    dtype: str
    mode: str
    way: str
    device: str
    threads: int | None
