"""An entry of the list of known mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.judge.oracle import OracleLayer
from reference.conventions import Conventions


def _always(_: Conventions) -> bool:
    return True


@dataclass(frozen=True)
class Known:
    """A mistake. `variants` are the ways in which it is made; none where it is not a matter of replaying."""

    id: str
    text: str
    variants: tuple[type[OracleLayer], ...] = ()
    applies: Callable[[Conventions], bool] = _always
    single_value: bool = False
    """Whether it leaves anything, an exception included, of a batch of one value per channel: n - 1 is 0 there."""
