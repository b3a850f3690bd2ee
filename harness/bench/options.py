"""What can be chosen about a comparison of throughput."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDS = 9


@dataclass(frozen=True)
class ThroughputOptions:
    rounds: int = ROUNDS
    """After one that warms up."""
    device: str = "cpu"
    """"cpu" or "cuda". NumPy stays on the CPU whatever it is."""
    compiled: bool = False
    """PyTorch's steps compiled as well, as a contestant of its own."""
    seed: int = 0
