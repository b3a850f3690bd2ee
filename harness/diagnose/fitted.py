"""Mistakes with one unknown number: another momentum, another eps. The number is fitted and must hold everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.diagnose import tuning
from harness.diagnose.mistakes.in_mode import only_in
from harness.diagnose.replay import explains, fits, replayed
from harness.judge.oracle import OracleLayer
from harness.judge.report import PlayedCase
from reference.conventions import Conventions

GOLDEN = (5**0.5 - 1) / 2
Make = Callable[[float], type[OracleLayer]]


def with_new_weight(weight: float) -> type[OracleLayer]:
    """A layer that gives the new batch this weight, whatever it was told."""

    class MomentumWrong(OracleLayer):
        def weights(self):
            one = self.average_mean.dtype.type(1)
            return one - one * weight, one * weight

    return MomentumWrong


def with_new_weight_times(factor: float) -> type[OracleLayer]:
    """A layer that gives the new batch a multiple of the weight that it was told."""

    class MomentumScaled(OracleLayer):
        def weights(self):
            _, new = super().weights()
            return 1 - new * factor, new * factor

    return MomentumScaled


def for_one_average(make: Make, name: str) -> Make:
    """The mistake in one of the two moving statistics, "average_mean" or "average_var"; the other one is right."""
    other = "average_var" if name == "average_mean" else "average_mean"

    def made(number: float) -> type[OracleLayer]:
        mistake: Any = make(number)

        class OneAverage(mistake):
            wrong = False

            def weights(self):
                return super().weights() if self.wrong else OracleLayer.weights(self)

            def update(self, mean, var, n):
                layer: Any = self
                before = layer.average_mean, layer.average_var, layer.updates
                super().update(mean, var, n)
                right = getattr(self, other)
                self.average_mean, self.average_var, self.updates = before
                self.wrong = True
                super().update(mean, var, n)
                self.wrong = False
                setattr(self, other, right)

        return OneAverage

    return made


def with_eps(eps: float) -> type[OracleLayer]:
    """A layer that uses this eps, whatever it was told."""

    class EpsWrong(OracleLayer):
        def inverse_std(self, var):
            told, self.eps = self.eps, eps
            result = super().inverse_std(var)
            self.eps = told
            return result

    return EpsWrong


def with_eps_times(factor: float) -> type[OracleLayer]:
    """A layer that uses a multiple of the eps that it was told."""

    class EpsScaled(OracleLayer):
        def inverse_std(self, var):
            told, self.eps = self.eps, self.eps * factor
            result = super().inverse_std(var)
            self.eps = told
            return result

    return EpsScaled


@dataclass(frozen=True)
class Family:
    """The layers of one mistake, by its number, and the range in which that is looked for."""

    id: str
    make: Make
    low: float
    high: float
    phrase: str
    spares: str = ""
    """The observable, or the operation, that this mistake leaves alone."""


def _limited(mode: str, make: Make) -> Make:
    return lambda number: only_in(mode, make(number))


WEIGHTS = (
    (with_new_weight, 1e-5, 1.0, "the new batch weighs {:.6g}"),
    (with_new_weight_times, 1e-3, 1e1, "the new batch weighs {:.6g} times what it should"),
)
EPSILONS = (
    (with_eps, 1e-12, 1.0, "an eps of {:.6g} is used"),
    (with_eps_times, 1e-3, 1e5, "{:.6g} times the eps is used"),
)
MOMENTUM_FAMILIES = (
    *(Family("momentum_wrong", *weight) for weight in WEIGHTS),
    *(
        Family("momentum_wrong", for_one_average(make, f"average_{one}"), low, high, f"in the {one}, {phrase}", spared)
        for one, spared in (("mean", "moving_var"), ("var", "moving_mean"))
        for make, low, high, phrase in WEIGHTS
    ),
)
EPS_FAMILIES = (
    *(Family("eps_wrong", *eps) for eps in EPSILONS),
    *(
        Family("eps_wrong", _limited(mode, make), low, high, f"in {word}, {phrase}", spared)
        for mode, word, spared in (("train", "training", "eval"), ("eval", "prediction", "train"))
        for make, low, high, phrase in EPSILONS
    ),
)


@dataclass(frozen=True)
class Fitted:
    """A layer with its number, and that number in words."""

    id: str
    layer: type[OracleLayer]
    detail: str


def explanations(played: list[PlayedCase], failing: list[PlayedCase], conventions: Conventions) -> list[Fitted]:
    """The first family whose number, found on the worst failure, explains everything; over two cases at least."""
    if len({one.case.id for one in failing}) < 2:
        return []
    found: list[Fitted] = []
    for family in families(failing):
        if any(one.id == family.id for one in found):
            continue
        number = fit(family, played, failing, conventions)
        if number is not None:
            found.append(Fitted(family.id, family.make(number), family.phrase.format(number)))
    return found


def families(failing: list[PlayedCase]) -> tuple[Family, ...]:
    """Momentum cannot change what a training step returns; eps cannot change the moving statistics."""
    wrong = {(j.op, j.observable) for one in failing for j in one.judgements if j.counts_against}
    moving = any(name in ("moving_mean", "moving_var") for _, name in wrong)
    trained = any(op == "train" and name in ("y", "dx", "dgamma", "dbeta") for op, name in wrong)
    possible = (() if trained else MOMENTUM_FAMILIES) + (() if moving else EPS_FAMILIES)
    return tuple(one for one in possible if not any(one.spares in place for place in wrong))


def fit(family: Family, played: list[PlayedCase], failing: list[PlayedCase], conventions: Conventions) -> float | None:
    """The number with which the family explains every case. None if there is none."""
    trial = next((one for one in failing if all(step.error is None for step in one.observation.steps)), None)
    if trial is None:
        return None
    make = family.make
    grid = np.geomspace(family.low, family.high, tuning.GRID_POINTS)
    misfits = [distance(make(float(number)), trial, conventions) for number in grid]
    best = int(np.argmin(misfits))
    if not np.isfinite(misfits[best]):
        return None

    def misfit(logarithm: float) -> float:
        return distance(make(float(np.exp(logarithm))), trial, conventions)

    around = [float(np.log(grid[n])) for n in (max(0, best - 1), best, min(len(grid) - 1, best + 1))]
    # A valley may be too narrow for the search, and 1 is on the grid: nobody averages.
    number = min(_golden(misfit, around[0], around[2]), around[1], key=misfit)
    for digits in (1, 2, 3, 4, 6, 9, 17):
        rounded = float(f"{float(np.exp(number)):.{digits}g}")
        if fits(make(rounded), trial, conventions) and explains(make(rounded), played, conventions):
            return rounded
    return None


def distance(layer: type[OracleLayer], played: PlayedCase, conventions: Conventions) -> float:
    """The largest deviation of what was seen from what `layer` gives, relative to each observable's size."""
    worst = 0.0
    for seen, values in zip(played.observation.steps, replayed(layer, played, conventions), strict=False):
        if values is None:
            return np.inf
        for name, got in seen.values.items():
            want = values[name]
            if got.shape == want.shape and got.size:
                with np.errstate(all="ignore"):
                    share = np.abs(got.astype(want.dtype) - want).max() / (np.abs(want).max() or 1)
                worst = max(worst, float(share) if np.isfinite(share) else np.inf)
    return worst


def _golden(f: Callable[[float], float], a: float, b: float) -> float:
    """Golden-section search: the misfit is a sharp valley, |number - truth| at its bottom."""
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    fc, fd = f(c), f(d)
    for _ in range(75):
        if fc < fd:
            b, d, fd = d, c, fc
            c = b - GOLDEN * (b - a)
            fc = f(c)
        else:
            a, c, fc = c, d, fd
            d = a + GOLDEN * (b - a)
            fd = f(d)
    return (a + b) / 2
