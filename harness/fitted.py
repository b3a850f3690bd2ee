"""Mistakes with one unknown number: another momentum, another eps. The number is fitted and must hold everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.check import Played
from harness.oracle import OracleLayer
from harness.replay import explains, fits
from reference.conventions import Conventions

Explanation = tuple[tuple[str, ...], str]
GOLDEN = (5**0.5 - 1) / 2


def with_new_weight(weight: float) -> type[OracleLayer]:
    """A layer that gives the new batch this weight, whatever it was told."""

    class MomentumWrong(OracleLayer):
        def weights(self):
            one = self.average_mean.dtype.type(1)
            return one - one * weight, one * weight

    return MomentumWrong


def with_eps(eps: float) -> type[OracleLayer]:
    """A layer that uses this eps, whatever it was told."""

    class EpsWrong(OracleLayer):
        def inverse_std(self, var):
            told, self.eps = self.eps, eps
            result = super().inverse_std(var)
            self.eps = told
            return result

    return EpsWrong


def explanations(played: list[Played], conventions: Conventions) -> list[Explanation]:
    """(("momentum_wrong",), "the new batch weighs 0.01") and the like; a number must hold over two cases at least."""
    if len(played) < 2:
        return []
    found: list[Explanation] = []
    for identity, make, low, high, phrase in (
        ("momentum_wrong", with_new_weight, 1e-5, 1.0, "the new batch weighs {:.6g}"),
        ("eps_wrong", with_eps, 1e-12, 1.0, "an eps of {:.6g} is used"),
    ):
        number = fit(make, played, conventions, low, high)
        if number is not None:
            found.append(((identity,), phrase.format(number)))
    return found


def fit(
    make: Callable[[float], type[OracleLayer]], played: list[Played], conventions: Conventions, low: float, high: float
) -> float | None:
    """The number with which `make` explains every case; found on the first, proved on all. None if there is none."""
    trial = played[0]
    grid = np.geomspace(low, high, 61)
    misfits = [misfit(make(number), trial, conventions) for number in grid]
    best = int(np.argmin(misfits))
    if not np.isfinite(misfits[best]):
        return None
    number = _golden(
        lambda logarithm: misfit(make(float(np.exp(logarithm))), trial, conventions),
        float(np.log(grid[max(0, best - 1)])),
        float(np.log(grid[min(len(grid) - 1, best + 1)])),
    )
    for digits in (1, 2, 3, 4, 6, 17):
        rounded = float(f"{float(np.exp(number)):.{digits}g}")
        if fits(make(rounded), trial, conventions):
            return rounded if explains(make(rounded), played, conventions) else None
    return None


def misfit(layer: type[OracleLayer], played: Played, conventions: Conventions) -> float:
    """The largest deviation of what was seen from what `layer` gives, relative to each channel's size."""
    sessions = [layer.from_setup(setup, conventions) for setup in played.script.setups]
    worst = 0.0
    with np.errstate(all="ignore"):
        for seen, step in zip(played.seen.steps, played.script.steps, strict=False):
            values = sessions[step.session].play(step)
            for name, got in seen.values.items():
                want = values[name]
                if got.shape == want.shape and got.size:
                    size = np.abs(want).max()
                    worst = max(worst, float(np.abs(got.astype(want.dtype) - want).max() / (size or 1)))
    return worst


def _golden(f: Callable[[float], float], a: float, b: float) -> float:
    """Golden-section search: the misfit is a sharp valley, |number - truth| at its bottom."""
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    fc, fd = f(c), f(d)
    for _ in range(80):
        if fc < fd:
            b, d, fd = d, c, fc
            c = b - GOLDEN * (b - a)
            fc = f(c)
        else:
            a, c, fc = c, d, fd
            d = a + GOLDEN * (b - a)
            fd = f(d)
    return (a + b) / 2
