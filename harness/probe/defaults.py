"""The default eps and momentum of a target, as they show when it is built without either."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.cases.case import Case, Setup
from harness.cases.data import gaussian
from harness.findings import Note
from harness.probe.hypotheses import MOMENTUM, SEED
from harness.targets.player import Death, Player
from reference.batch_norm import to_rows
from reference.conventions import Conventions

TRAINS_ONCE = Case(
    "defaults", "one training step at a variance of the size of eps", data=gaussian(0.5, 0.01), script=("train",)
)
NAMES = ("default_eps", "default_momentum")
DIGITS = 4
"""To how many digits a default is rounded: it is a number that somebody typed."""


@dataclass(frozen=True)
class Defaults:
    """The conventions with the defaults that the target shows, the names of those that it does not, and why."""

    conventions: Conventions
    unseen: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def find_defaults(player: Player, conventions: Conventions, dtype: str) -> Defaults:
    """The defaults as they show in one training step of a target that is built without eps and momentum."""
    script = TRAINS_ONCE.make(dtype, SEED, MOMENTUM)
    without = replace(script, setups=tuple(replace(setup, eps=None, momentum=None) for setup in script.setups))
    answer = player.play(without, conventions.channel_axis)
    x = script.steps[0].x
    assert x is not None
    if isinstance(answer, Death):
        return _none_visible(conventions, answer.message)
    error = answer.build_error or next((result.error for result in answer.steps if result.error), None)
    if error or answer.build_unsupported is not None:
        return _none_visible(conventions, f"without eps and momentum it raises {error or answer.build_unsupported}")
    if not answer.steps or answer.steps[0].unsupported is not None:
        return _none_visible(conventions, "it does not train")
    numbers = _numbers(conventions, script.setups[0], x, answer.steps[0].values)
    unseen = tuple(name for name in NAMES if name not in numbers)
    notes = (Note("defaults_not_visible", f"defaults not visible: {' and '.join(unseen)}"),) if unseen else ()
    with_defaults = replace(
        conventions,
        default_eps=numbers.get("default_eps", conventions.default_eps),
        default_momentum=numbers.get("default_momentum", conventions.default_momentum),
    )
    return Defaults(with_defaults, unseen, notes)


def _none_visible(conventions: Conventions, reason: str) -> Defaults:
    return Defaults(conventions, NAMES, (Note("defaults_not_visible", f"defaults not visible: {reason}"),))


def _numbers(conventions: Conventions, setup: Setup, x: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, float]:
    """The default numbers that can be computed from the values of a training step, by their names."""
    rows = to_rows(x.astype(np.float64), 1)
    numbers: dict[str, float] = {}
    if "y" in values and values["y"].shape == x.shape:
        y = to_rows(values["y"].astype(np.float64), 1)
        numbers["default_eps"] = _eps(rows, y, setup.gamma, setup.beta, conventions.eps_at)
    if "moving_mean" in values and not conventions.debias:
        weight = _new_weight(rows, values["moving_mean"], setup.moving_mean)
        numbers["default_momentum"] = _rounded(conventions.momentum_for(weight))
    return {name: number for name, number in numbers.items() if np.isfinite(number)}


def _eps(x: np.ndarray, y: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps_at: str) -> float:
    """Solve y = gamma (x - mean)/sqrt(var + eps) + beta for eps, by least squares over the batch. x, y: (n, C)."""
    centred = x - x.mean(axis=0)
    scale = (centred * (y - beta)).sum(axis=0) / (gamma * (centred * centred).sum(axis=0))  # (C,)
    var = (centred * centred).mean(axis=0)
    eps = 1 / scale**2 - var if eps_at == "inside_sqrt" else 1 / scale - np.sqrt(var)
    return _rounded(float(np.median(eps)))


def _new_weight(x: np.ndarray, after: np.ndarray, before: np.ndarray) -> float:
    """The new batch's weight: how far the moving mean went towards the batch's. x: (n, C); the rest (C,)."""
    before = before.astype(np.float64)
    return float(np.median((after.astype(np.float64) - before) / (x.mean(axis=0) - before)))


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
