"""A call of a function as a value: what it is called with besides x, gamma and beta, apart from what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.targets.results import Results
from harness.targets.wrap import common


@dataclass(frozen=True)
class Called:
    """A call of the function in one mode: two that are equal do the same."""

    target: Callable[..., Any]
    x_name: str
    paths: tuple[tuple[str, str], ...]
    """(ours, theirs): the names of the arrays."""
    mode: tuple[tuple[str, bool], ...]

    def __call__(self, x: Any, arrays: Results, numbers: dict[str, float]) -> tuple[Any, Any]:
        """(y, the moving statistics that it returned, if any)."""
        given = {theirs: arrays[ours] for ours, theirs in self.paths}
        result = self.target(**{self.x_name: x}, **given, **numbers, **dict(self.mode))
        if not isinstance(result, (tuple, list)):
            return result, ()
        y, *rest = result
        moved = rest[0] if len(rest) == 1 and isinstance(rest[0], (tuple, list)) else rest
        if len(moved) not in (0, 2):
            raise common.AdapterError(
                f"{common.called(self.target)} returned {len(result)} things; expected y, or "
                "(y, moving_mean, moving_var)"
            )
        return y, tuple(moved)


@dataclass(frozen=True)
class Forward:
    """(y, the moving statistics), or y alone, as a function of (x, gamma, beta)."""

    called: Called
    arrays: Results
    numbers: dict[str, float]
    with_moved: bool = True

    @property
    def given(self) -> tuple[Results, dict[str, float]]:
        return self.arrays, self.numbers

    def __call__(self, x: Any, gamma: Any, beta: Any) -> Any:
        y, moved = self.called(x, self.arrays | {"gamma": gamma, "beta": beta}, self.numbers)
        return (y, moved) if self.with_moved else y
