"""What is said about a target beyond its judgements: findings (mistakes that were diagnosed) and notes (behaviour)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Behaviour that is nobody's fault, under a stable id. It never counts against a target."""

    id: str
    text: str


@dataclass(frozen=True)
class Finding:
    """A mistake that explains failures: its id, what to change, and the ids of the cases that show it."""

    id: str
    text: str
    cases: tuple[str, ...]
    condition: str = ""
    """Where alone the mistake is made ("at rank 4 only"); "" where that is everywhere."""
