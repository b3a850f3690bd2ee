"""A mistake that is made in one mode only: right in training and wrong in prediction, or the other way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.judge.oracle import OracleLayer


def everywhere_or_in_one(*mistakes: type[OracleLayer]) -> tuple[type[OracleLayer], ...]:
    """Each mistake in both modes, in training only, in prediction only."""
    return tuple(
        variant for mistake in mistakes for variant in (mistake, only_in("train", mistake), only_in("eval", mistake))
    )


def only_in(mode: str, mistake: type[OracleLayer]) -> type[OracleLayer]:
    """`mistake` in one mode, "train" or "eval"."""
    return only_when(lambda layer: layer.playing == mode, mistake, f"In{mode.title()}")


def only_when(holds: Callable[[Any], bool], mistake: type[OracleLayer], suffix: str) -> type[OracleLayer]:
    """`mistake` whose methods step aside, to what lies below them, while `holds(layer)` is false."""
    chain = [c for c in mistake.__mro__ if issubclass(c, OracleLayer) and c is not OracleLayer]
    own = {name for c in chain for name in vars(c) if not name.startswith("_") and callable(vars(c)[name])}
    names = [name for name in own if hasattr(OracleLayer, name)]  # the others are called by these alone
    made = type(f"{mistake.__name__}{suffix}", (mistake,), {})
    for name in names:
        setattr(made, name, _guarded(name, holds, made, chain[-1]))
    return made


def _guarded(name: str, holds: Callable[[Any], bool], made: type[OracleLayer], last: type[OracleLayer]) -> Any:
    def method(self: Any, *args: Any) -> Any:
        return getattr(super(made if holds(self) else last, self), name)(*args)

    return method
