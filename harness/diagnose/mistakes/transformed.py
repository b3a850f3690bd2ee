"""Mistakes that a layer makes through a transformation alone: what is lost, left behind or taken from another batch.

Each is as the transformation of that name plays a layer (`harness/targets/through/torch_calls.py` and
`torch_programs.py`), and is tried for a target that is played through it.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from harness.diagnose.mistakes import saved_state
from harness.judge.oracle import OracleLayer

Mistake = tuple[str, type[OracleLayer], str]
"""The id, the layer, and what is to be said besides."""

STATISTICS = ("average_mean", "average_var")
NOT_SAVED = (
    (saved_state.StateNotSaved, STATISTICS),
    (saved_state.VarNotSaved, ("average_var",)),
    (saved_state.MeanNotSaved, ("average_mean",)),
)
EXAMPLE = 3
"""How many times as large as what comes the batch is of which `export-dynamic` makes its program."""


def losing(mistake: type[OracleLayer], starts: dict[str, float]) -> type[OracleLayer]:
    """The state is saved and loaded before each call, and what is not saved starts anew. starts: part -> number."""

    class Losing(mistake):  # type: ignore[valid-type, misc]
        def lose(self):
            for part, number in starts.items():
                setattr(self, part, np.full_like(getattr(self, part), number))

        def play(self, step):
            if not step.restores:
                self.lose()
            return super().play(step)

        def train_step(self, x, dy):
            """Also of the object that a state is loaded into."""
            self.lose()
            return super().train_step(x, dy)

    Losing.__name__ = f"{mistake.__name__}AtEachCall"
    return Losing


class StatisticsLeftBehind(OracleLayer):
    """What is moved and predicted by is not what is saved: that stays as it was loaded.

    A layer that has been called predicts by its own, whatever is loaded into it.
    """

    saved: tuple[np.ndarray, np.ndarray] | None = None

    def play(self, step):
        if self.saved is None:
            self.saved = self.average_mean, self.average_var
        if step.restores:
            self.average_mean, self.average_var = self.saved if step.op == "restore" else self.of_used(step)
        values = super().play(step)
        shown = zip(("moving_mean", "moving_var"), self.saved, strict=True)
        return values | {name: array for name, array in shown if name in values}

    def of_used(self, step):
        self.restoring = step
        used = self.loaded_into()
        return used.average_mean, used.average_var


class MovedByTheOriginal(OracleLayer):
    """A copy shares its statistics with the original, which trains on another batch before each call."""

    def play(self, step):
        if not step.restores and step.x.size:
            another = np.linspace(3.0, 5.0, step.x.size).reshape(step.x.shape).astype(step.x.dtype)
            with suppress(ValueError):  # a single value, which is refused
                self.train(another.astype(self.gamma.dtype))
        return super().play(step)


class BesselOfTheExample(OracleLayer):
    """Bessel's factor of the batch that a program was made of."""

    def update(self, mean, var, n):
        count = EXAMPLE * n
        super().update(mean, var * (count / (count - 1)) * ((n - 1) / n) if n > 1 else var, n)


def not_saved(transformation: str, mean: float, var: float) -> list[Mistake]:
    starts = dict(zip(STATISTICS, (mean, var), strict=True))
    detail = f"{transformation} saves and loads it at each call"
    return [
        ("state_not_saved", losing(mistake, {part: starts[part] for part in parts}), detail)
        for mistake, parts in NOT_SAVED
    ]


LEFT_BEHIND: Mistake = (
    "state_not_saved",
    StatisticsLeftBehind,
    "it moves and predicts by arrays that are not its state any more once its type was converted",
)
BY_TRANSFORMATION: dict[str, list[Mistake]] = {
    "state-dict": not_saved("state-dict", 0.0, 1.0),
    "meta": not_saved("meta", np.nan, np.nan),
    "to-dtype": [LEFT_BEHIND],
    "swap-tensors": [LEFT_BEHIND],
    "deepcopy": [("state_shared", MovedByTheOriginal, "a copy's statistics move with the original's")],
    "export-dynamic": [
        ("bessel_wrong", BesselOfTheExample, "n is that of the batch of which the exported program was made")
    ],
}


def of_transformation(name: str) -> list[Mistake]:
    """What a layer may do wrong through the transformation of this name; nothing is known of most."""
    return BY_TRANSFORMATION.get(name, [])
