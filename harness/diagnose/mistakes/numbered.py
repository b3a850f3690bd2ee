"""Mistakes with one unknown number, another momentum or another eps: the layers that make them, by that number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.diagnose.mistakes.in_mode import only_in
from harness.judge.oracle import OracleLayer

Make = Callable[[float], type[OracleLayer]]
"""From a number to the layer that makes the mistake with it."""


def with_new_weight(weight: float) -> type[OracleLayer]:
    """A layer that gives the new batch this weight, whatever momentum it was given."""

    class MomentumWrong(OracleLayer):
        def weights(self):
            one = self.average_mean.dtype.type(1)
            return one - one * weight, one * weight

    return MomentumWrong


def with_new_weight_times(factor: float) -> type[OracleLayer]:
    """A layer that gives the new batch a multiple of the weight that momentum gives it."""

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
            makes_mistake = False

            def weights(self):
                return super().weights() if self.makes_mistake else OracleLayer.weights(self)

            def update(self, mean, var, n):
                layer: Any = self
                before = layer.average_mean, layer.average_var, layer.updates
                super().update(mean, var, n)
                right = getattr(self, other)
                self.average_mean, self.average_var, self.updates = before
                self.makes_mistake = True
                super().update(mean, var, n)
                self.makes_mistake = False
                setattr(self, other, right)

        return OneAverage

    return made


class _OtherEps(OracleLayer):
    """A layer whose scale is computed with another eps than the one that it was given."""

    def other_eps(self) -> float:
        raise NotImplementedError

    def inverse_std(self, var):
        given, self.eps = self.eps, self.other_eps()
        try:
            return super().inverse_std(var)
        finally:
            self.eps = given


def with_eps(eps: float) -> type[OracleLayer]:
    """A layer that uses this eps, whatever it was given."""

    class EpsWrong(_OtherEps):
        def other_eps(self):
            return eps

    return EpsWrong


def with_eps_times(factor: float) -> type[OracleLayer]:
    """A layer that uses a multiple of the eps that it was given."""

    class EpsScaled(_OtherEps):
        def other_eps(self):
            return self.eps * factor

    return EpsScaled


def in_one_mode(mode: str, make: Make) -> Make:
    """The mistake in training only ("train"), or in prediction only ("eval")."""
    return lambda number: only_in(mode, make(number))


@dataclass(frozen=True)
class NumberRange:
    """How a number enters a layer, the range in which it is looked for, and the words for it."""

    make: Make
    low: float
    high: float
    phrase: str


@dataclass(frozen=True)
class Family:
    """The layers of one mistake, by its number. `phrase` is what is written of the number."""

    id: str
    range: NumberRange
    make: Make
    phrase: str
    spares: str = ""
    """The observable, or the operation, that this mistake leaves alone."""


WEIGHTS = (
    NumberRange(with_new_weight, 1e-5, 1.0, "the new batch weighs {:.6g}"),
    NumberRange(with_new_weight_times, 1e-3, 1e1, "the new batch weighs {:.6g} times what it should"),
)
EPSILONS = (
    NumberRange(with_eps, 1e-12, 1.0, "an eps of {:.6g} is used"),
    NumberRange(with_eps_times, 1e-3, 1e5, "{:.6g} times the eps is used"),
)
MOMENTUM_FAMILIES = (
    *(Family("momentum_wrong", weight, weight.make, weight.phrase) for weight in WEIGHTS),
    *(
        Family(
            "momentum_wrong",
            weight,
            for_one_average(weight.make, f"average_{average}"),
            f"in the {average}, {weight.phrase}",
            spared,
        )
        for average, spared in (("mean", "moving_var"), ("var", "moving_mean"))
        for weight in WEIGHTS
    ),
)
EPS_FAMILIES = (
    *(Family("eps_wrong", eps, eps.make, eps.phrase) for eps in EPSILONS),
    *(
        Family("eps_wrong", eps, in_one_mode(mode, eps.make), f"in {word}, {eps.phrase}", spared)
        for mode, word, spared in (("train", "training", "eval"), ("eval", "prediction", "train"))
        for eps in EPSILONS
    ),
)
