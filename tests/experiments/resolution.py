r"""RESOLUTION.md: the smallest relative size of a mistake that the suite catches, in each regime and dtype.

    python -m tests.experiments.resolution > tests/experiments/RESOLUTION.md

A mistake is the oracle with one number off by a factor 1 + size in training steps. Its size is bisected, in each case
of the suite, until some observable of a law channel is one bound away; the least over a regime's cases is
what the suite catches of a mistake that is made in that regime alone. A layer's own rounding adds to that, or takes
from it, by a share of the bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from harness.cases.case import Case
from harness.cases.catalogue import CASES
from harness.cases.script import DTYPES
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import PreparedCase, prepare
from reference.batch_norm import from_rows
from reference.conventions import D2L, Conventions
from tests.experiments.commit import commit_of_this_checkout

Mistake = Callable[[float], type[OracleLayer]]
CONVENTIONS: Conventions = D2L
SMALLEST, STEPS = 2.0**-60, 11
"""Where bisection starts, and how many halvings of the 60 octaves up to 1 leave a twentieth of an octave or so."""


def eps(size: float) -> type[OracleLayer]:
    class Mistaken(OracleLayer):
        def inverse_std(self, var):
            right = self.eps
            self.eps = right * (1 + size) if self.playing == "train" else right
            scale = super().inverse_std(var)
            self.eps = right
            return scale

    return Mistaken


def momentum(size: float) -> type[OracleLayer]:
    class Mistaken(OracleLayer):
        def weights(self):
            _, new = super().weights()
            new = new * (1 + size)
            return 1 - new, new

    return Mistaken


def gamma(size: float) -> type[OracleLayer]:
    class Mistaken(OracleLayer):
        def normalize(self, x, mean, var):
            y, cache = super().normalize(x, mean, var)
            return y + size * self.gamma * cache["x_hat"], cache

    return Mistaken


def bessel(size: float) -> type[OracleLayer]:
    """The factor of the moving variance, which is 1 or n/(n - 1)."""

    class Mistaken(OracleLayer):
        def update(self, mean, var, n):
            super().update(mean, var * (1 + size), n)

    return Mistaken


def variance_in_y(size: float) -> type[OracleLayer]:
    class Mistaken(OracleLayer):
        def normalize(self, x, mean, var):
            y, _ = super().normalize(x, mean, var * (1 + size))
            return y, super().normalize(x, mean, var)[1]

    return Mistaken


def one_element_of_y(size: float) -> type[OracleLayer]:
    class Mistaken(OracleLayer):
        def normalize(self, x, mean, var):
            y, cache = super().normalize(x, mean, var)
            y = y.copy()
            place = np.unravel_index(int(np.argmax(np.abs(y).astype(np.float64))), y.shape)
            y[place] *= 1 + size
            return y, cache

    return Mistaken


def _in_backward(change: Callable) -> type[OracleLayer]:
    """change(layer, dx, dgamma, dbeta, cache) -> the same three, dx as (n, C) rows."""

    class Mistaken(OracleLayer):
        def train_backward(self, dy, cache):
            dx, dgamma, dbeta = super().train_backward(dy, cache)
            moved, dgamma, dbeta = change(self, dgamma, dbeta, cache)
            return dx - from_rows(self.gamma * cache["scale"] * moved, dy.shape, 1), dgamma, dbeta

    return Mistaken


def dx_mean_term(size: float) -> type[OracleLayer]:
    def change(layer, dgamma, dbeta, cache):  # noqa: ARG001
        x_hat = cache["x_hat"]
        return np.broadcast_to(size * dbeta / x_hat.dtype.type(len(x_hat)), x_hat.shape), dgamma, dbeta

    return _in_backward(change)


def dx_variance_term(size: float) -> type[OracleLayer]:
    def change(layer, dgamma, dbeta, cache):  # noqa: ARG001
        x_hat = cache["x_hat"]
        return size * x_hat * (dgamma / x_hat.dtype.type(len(x_hat))), dgamma, dbeta

    return _in_backward(change)


def dgamma(size: float) -> type[OracleLayer]:
    def change(layer, dgamma, dbeta, cache):  # noqa: ARG001
        return np.zeros_like(cache["x_hat"]), dgamma * (1 + size), dbeta

    return _in_backward(change)


def dbeta(size: float) -> type[OracleLayer]:
    def change(layer, dgamma, dbeta, cache):  # noqa: ARG001
        return np.zeros_like(cache["x_hat"]), dgamma, dbeta * (1 + size)

    return _in_backward(change)


MISTAKES: dict[str, Mistake] = {
    "eps": eps,
    "momentum": momentum,
    "gamma": gamma,
    "Bessel's factor": bessel,
    "variance in y": variance_in_y,
    "one element of y": one_element_of_y,
    "dx: mean term": dx_mean_term,
    "dx: variance term": dx_variance_term,
    "dgamma": dgamma,
    "dbeta": dbeta,
}


# --- regimes ---


@dataclass(frozen=True)
class Regime:
    name: str
    holds: Callable[[float, int, int], bool]
    """Of mean/std, the number of values a channel, and the rank."""


def _far(low: float, high: float) -> Callable[[float, int, int], bool]:
    return lambda kappa, n, rank: low <= kappa < high  # noqa: ARG005


REGIMES = (
    Regime("mean/std about 1", _far(0, 10)),
    Regime("mean/std 100", _far(10, 1e3)),
    Regime("mean/std 10,000", _far(1e3, 1e5)),
    Regime("mean/std from 100,000 on", _far(1e5, np.inf)),
    Regime("n below 100", lambda kappa, n, rank: n < 100),  # noqa: ARG005
    Regime("n about 1,024", lambda kappa, n, rank: 1024 <= n < 2048),  # noqa: ARG005
    Regime("n from 65,536 on", lambda kappa, n, rank: n >= 65_536),  # noqa: ARG005
    *(Regime(f"rank {given}", lambda kappa, n, rank, given=given: rank == given) for given in (2, 3, 4, 5)),  # noqa: ARG005
)


def mean_over_std(prepared: PreparedCase) -> float:
    """Of the first training step: the median over the channels; NaN where there is none."""
    for step in prepared.script.steps:
        if step.op == "train" and step.x is not None and step.x.size:
            rows = np.moveaxis(step.x, 1, -1).reshape(-1, step.x.shape[1]).astype(np.longdouble)
            with np.errstate(all="ignore"):
                return float(np.nanmedian(np.abs(rows.mean(axis=0)) / rows.std(axis=0)))
    return float("nan")


# --- what is caught ---


def is_caught(layer: type[OracleLayer], case: Case, dtype: str, prepared: PreparedCase) -> bool:
    """Whether a training step of a layer with the mistake gives anything beyond its bound."""
    with np.errstate(all="ignore"):
        sessions = [layer.from_setup(setup, CONVENTIONS) for setup in prepared.script.setups]
        for step, expected in zip(prepared.script.steps, prepared.expected, strict=False):
            if expected.raises:
                return False
            values = sessions[step.session].play(step)
            if step.op != "train":
                continue
            for name, want in expected.values.items():
                bound = expected.bounds[name]
                law = np.array([not case.is_policy(channel, dtype) for channel in range(case.shape[1])])
                law = law.reshape(1, -1, *[1] * (want.ndim - 2)) if want.ndim > 1 else law
                beyond = np.isfinite(bound) & np.isfinite(want) & (np.abs(values[name] - want) > bound)
                if (beyond & law).any():
                    return True
    return False


def smallest_caught(mistake: Mistake, case: Case, dtype: str, prepared: PreparedCase, below: float = 1.0) -> float:
    """The least size that is caught, within 5%; infinite where `below` is not."""
    if not is_caught(mistake(below), case, dtype, prepared):
        return float("inf")
    low, high = np.log2(SMALLEST), np.log2(below)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if is_caught(mistake(2.0**middle), case, dtype, prepared):
            high = middle
        else:
            low = middle
    return float(2.0**high)


@dataclass(frozen=True)
class Caught:
    """The least size that is caught of a mistake in a regime, and the case that catches it."""

    size: float = float("inf")
    case: str = ""


Table = dict[tuple[str, str, str], Caught]
"""By dtype, regime and mistake."""


def table(cases: Iterable[Case] = CASES, dtypes: Iterable[str] = DTYPES, mistakes: Iterable[str] = tuple(MISTAKES),
          seed: int = 0, summation: str = "any") -> Table:  # fmt: skip
    dtypes, mistakes = tuple(dtypes), tuple(mistakes)
    best: Table = {}
    for case in cases:
        if case.policy == "all" or not case.values_per_channel > 1:
            continue
        for dtype in [dtype for dtype in dtypes if dtype in case.dtypes]:
            prepared = prepare(case, dtype, seed, CONVENTIONS, summation)
            kappa = mean_over_std(prepared)
            regimes = [regime.name for regime in REGIMES if regime.holds(kappa, case.values_per_channel, case.ndim)]
            for mistake in mistakes:
                keys = [(dtype, regime, mistake) for regime in regimes]
                so_far = max((best.get(key, Caught()).size for key in keys), default=0.0)
                size = smallest_caught(MISTAKES[mistake], case, dtype, prepared, min(so_far, 1.0)) if keys else 0.0
                for key in keys:
                    if size < best.get(key, Caught()).size:
                        best[key] = Caught(size, case.id)
            print(f"{case.id} {dtype}", file=sys.stderr)
    return best


def as_markdown(best: Table) -> str:
    lines = [
        "# How fine the suite sees",
        "",
        f"Made by `python -m tests.experiments.resolution` at {commit_of_this_checkout()}: the smallest relative size",
        "of a mistake that is caught, if it is made in training steps of one regime and dtype alone. An empty cell: no",
        "case has that regime in that dtype; `-`: not even a size of 1 is caught.",
        "",
    ]
    for dtype in DTYPES:
        lines += [f"## {dtype}", "", f"| regime | {' | '.join(MISTAKES)} |", "|---" + "|---:" * len(MISTAKES) + "|"]
        for regime in REGIMES:
            reached = any((dtype, regime.name, mistake) in best for mistake in MISTAKES)
            cells = [_cell(best.get((dtype, regime.name, mistake), Caught()), reached) for mistake in MISTAKES]
            lines.append(f"| {regime.name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _cell(caught: Caught, reached: bool) -> str:
    if not reached:
        return ""
    return f"{caught.size:.1e}" if np.isfinite(caught.size) else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description="How fine the suite sees, as Markdown.")
    parser.add_argument("--seed", type=int, default=0)
    print(as_markdown(table(seed=parser.parse_args().seed)))


if __name__ == "__main__":
    main()
