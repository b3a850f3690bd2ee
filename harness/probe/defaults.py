"""The default eps and momentum of a target that is built without being told either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.cases.case import Case
from harness.cases.data import gaussian
from harness.findings import Note
from harness.targets.player import Death, Observation, Player
from reference.batch_norm import to_rows
from reference.conventions import Conventions

TRAINS_ONCE = Case(
    "defaults", "one training step at a variance of the size of eps", data=gaussian(0.5, 0.01), script=("train",)
)
NAMES = ("default_eps", "default_momentum")
DIGITS = 4
"""A default is a number that somebody typed: a few digits."""


def find_defaults(player: Player, conventions: Conventions, dtype: str) -> tuple[Conventions, list[str], list[Note]]:
    """(`conventions` with the defaults that the target shows, the names of those it does not, a note about them)."""
    script = TRAINS_ONCE.make(dtype, 0, 0.125)
    untold = replace(script, setups=tuple(replace(one, eps=None, momentum=None) for one in script.setups))
    answer = player.play(untold, conventions.channel_axis)
    reason = _refusal(answer)
    if reason:
        return conventions, list(NAMES), [Note("defaults_not_visible", f"defaults not visible: {reason}")]
    assert isinstance(answer, Observation)
    x = script.steps[0].x
    if not answer.steps or answer.steps[0].unsupported or x is None:
        note = Note("defaults_not_visible", "defaults not visible: it does not train")
        return conventions, list(NAMES), [note]
    rows = to_rows(x.astype(np.float64), 1)
    setup, values = script.setups[0], answer.steps[0].values
    found: dict[str, Any] = {}
    if "y" in values and values["y"].shape == x.shape:
        y = to_rows(values["y"].astype(np.float64), 1)
        found["default_eps"] = _eps(rows, y, setup.gamma, setup.beta, conventions.eps_at)
    if "moving_mean" in values and not conventions.debias:
        weight = _new_weight(rows, values["moving_mean"], setup.moving_mean)
        found["default_momentum"] = _rounded(conventions.momentum_for(weight))
    found = {name: number for name, number in found.items() if np.isfinite(number)}
    missing = [name for name in NAMES if name not in found]
    text = f"defaults not visible: {' and '.join(missing)}"
    notes = [Note("defaults_not_visible", text)] if missing else []
    return replace(conventions, **found), missing, notes


def _refusal(answer: Observation | Death) -> str | None:
    if isinstance(answer, Death):
        return answer.message
    failed = str(answer.build_error or answer.build_unsupported or "")
    if failed:
        return f"without eps and momentum it raises {failed}"
    error = next((step.error for step in answer.steps if step.error), None)
    return f"without eps and momentum it raises {error}" if error else None


def _eps(x: np.ndarray, y: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps_at: str) -> float:
    """Solve y = gamma (x - mean)/sqrt(var + eps) + beta for eps, by least squares over the batch. x, y: (n, C)."""
    centred = x - x.mean(axis=0)
    scale = (centred * (y - beta)).sum(axis=0) / (gamma * (centred * centred).sum(axis=0))  # (C,)
    var = (centred * centred).mean(axis=0)
    eps = 1 / scale**2 - var if eps_at == "inside_sqrt" else 1 / scale - np.sqrt(var)
    return _rounded(float(np.median(eps)))


def _new_weight(x: np.ndarray, moved: np.ndarray, before: np.ndarray) -> float:
    """How far the moving mean went towards the batch's: the new batch's weight."""
    before = before.astype(np.float64)
    return float(np.median((moved.astype(np.float64) - before) / (x.mean(axis=0) - before)))


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
