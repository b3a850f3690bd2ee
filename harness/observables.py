"""What can be observed of a batch norm: one table of names, directions and shapes, used by every room."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Direction(str, Enum):  # noqa: UP042 - a player may run in Python 3.9
    __str__ = str.__str__

    forward = "forward"
    backward = "backward"
    moving_stats = "moving_stats"


class UnitRoundoffs(Protocol):
    """The two unit roundoffs of a case: that of its arithmetic, and that of its inputs and outputs."""

    @property
    def work(self) -> float: ...

    @property
    def io(self) -> float: ...


@dataclass(frozen=True)
class Observable:
    """One array that a target gives back."""

    name: str
    direction: Direction
    like_x: bool
    """Has x's shape and dtype; otherwise its shape is (C,) and its dtype that of the parameters."""
    moves: bool = False
    """Is a moving statistic: read after every step, whatever the step was."""
    derivative: bool = False
    """Comes of forward mode or of differentiating twice, and of no ordinary step."""

    def unit_roundoff(self, precision: UnitRoundoffs) -> float:
        """The unit roundoff of the dtype in which it comes back."""
        return precision.io if self.like_x else precision.work


OBSERVABLES: dict[str, Observable] = {
    observable.name: observable
    for observable in (
        Observable("y", Direction.forward, like_x=True),
        Observable("dx", Direction.backward, like_x=True),
        Observable("dgamma", Direction.backward, like_x=False),
        Observable("dbeta", Direction.backward, like_x=False),
        Observable("moving_mean", Direction.moving_stats, like_x=False, moves=True),
        Observable("moving_var", Direction.moving_stats, like_x=False, moves=True),
        Observable("ty", Direction.forward, like_x=True, derivative=True),
        Observable("dx2", Direction.backward, like_x=True, derivative=True),
        Observable("ddy", Direction.backward, like_x=True, derivative=True),
        Observable("dgamma2", Direction.backward, like_x=False, derivative=True),
    )
}

ORDINARY = tuple(name for name, observable in OBSERVABLES.items() if not observable.derivative)
"""What training, prediction and `stats` return."""

STEP = tuple(name for name in ORDINARY if not OBSERVABLES[name].moves)
"""What a training or prediction step returns."""

DERIVATIVES = {
    "train_jvp": ("ty",),
    "eval_jvp": ("ty",),
    "train_double": ("dx2", "ddy", "dgamma2"),
    "eval_double": ("dx2", "ddy", "dgamma2"),
}
"""Operation -> what it returns. None of them moves a statistic as far as anybody judges."""


def returned_by(op: str) -> tuple[str, ...]:
    """What a target may return from an operation."""
    return DERIVATIVES.get(op, STEP)


STATISTICS = tuple(name for name, observable in OBSERVABLES.items() if observable.moves)
"""What `stats` returns."""

LIKE_X = tuple(name for name, observable in OBSERVABLES.items() if observable.like_x)


def column(observable: str, op: str | None) -> str:
    """The name of an observable in a mode, as tables head their columns: "y" in training, "eval y" in prediction.

    A frozen layer predicts, whatever the model around it does.
    """
    predicts = (op or "").startswith("eval") or op == "frozen"
    in_prediction = predicts and not OBSERVABLES[observable].moves
    return f"eval {observable}" if in_prediction else observable
