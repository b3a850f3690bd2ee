"""Honest algorithms of forward mode and second derivatives: closed forms, and formulas that are differentiated.

Which they are: ERROR_BOUNDS.md, section 16. Each takes statistics, sums, roots and arithmetic from one of
`forty.ALGORITHMS`, so that second derivatives are attacked with all that first ones are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.targets.honest.adding import Array
from tests.targets.honest.algorithm import Algorithm, stored
from tests.targets.honest.autodiff import PYTORCH, Calculus, Rules
from tests.targets.honest.forty import BY_NAME
from tests.targets.honest.second_closed import closed, closed_by_quotients, closed_of_rows, multiplied_out
from tests.targets.honest.second_formulas import FORWARDS, At, Scale, backward_as_torch, closed_backward
from tests.targets.honest.second_ways import (
    Way,
    forward_of,
    forward_over_forward,
    forward_over_reverse,
    reverse_of,
    reverse_over_forward,
    reverse_over_reverse,
)

Values = dict[str, Array]


@dataclass(frozen=True)
class SecondOrder:
    """`train` and `eval` take arrays of one dtype and return that dtype."""

    name: str
    way: Way
    base: Algorithm = BY_NAME["LoopForward"]
    rules: Rules = PYTORCH

    def train(self, arrays: Mapping[str, Array], eps: float, eps_at: str) -> Values:
        """arrays: those of `At`, by name -> ty or ddy or both, dx2 (n, C), dgamma2 (C,)."""
        return self._of(arrays, None, eps, eps_at)

    def eval(self, arrays: Mapping[str, Array], mean: Array, var: Array, eps: float, eps_at: str) -> Values:
        return self._of(arrays, (mean, var), eps, eps_at)

    def _of(self, arrays: Mapping[str, Array], given: tuple[Array, Array] | None, eps: float, eps_at: str) -> Values:
        c = Calculus(self.base, arrays["x"], self.rules)
        at = At(**{name: c.number(array) for name, array in arrays.items()})
        statistics = (c.number(given[0]), c.number(given[1])) if given else None
        numbers = self.way(c, at, Scale(eps, eps_at == "outside_sqrt", statistics))
        dtype = arrays["x"].dtype
        return {name: stored(number.array, dtype) for name, number in numbers.items()}  # type: ignore[attr-defined]


JAX = Rules("square", "half_first", "over")
RESULT = Rules("result", "half_last", "over")

CLOSED = tuple(
    SecondOrder(f"{name} {base}", way, BY_NAME[base])
    for name, way, base in (
        ("closed", closed, "LoopForward"),
        ("closed", closed, "Pairwise"),
        ("closed", closed, "Welford"),
        ("closed", closed, "FlushesToZero"),
        ("closed", closed, "RootUpDivisionDown"),
        ("closed", closed, "AllInWiderType"),
        ("of rows", closed_of_rows, "LoopBackward"),
        ("of rows", closed_of_rows, "CascadeTorchCpu"),
        ("of rows", closed_of_rows, "WelfordEightContiguous"),
        ("of rows", closed_of_rows, "AllRoundedUp"),
        ("of rows", closed_of_rows, "FlushesToZeroWelford"),
        ("by quotients", closed_by_quotients, "LoopSorted"),
        ("by quotients", closed_by_quotients, "Chan"),
        ("by quotients", closed_by_quotients, "AllRoundedDown"),
        ("by quotients", closed_by_quotients, "FlushesToZero"),
        ("multiplied out", multiplied_out, "LoopInterleaved"),
        ("multiplied out", multiplied_out, "CudaWarpMerge"),
        ("multiplied out", multiplied_out, "ShiftedTwoPass"),
        ("multiplied out", multiplied_out, "RootDownDivisionUp"),
        ("multiplied out", multiplied_out, "FlushesToZeroFolded"),
    )
)

AUTODIFF = tuple(
    SecondOrder(f"{mode.__name__.replace('_', ' ')}, {forward}, {base}", mode(FORWARDS[forward]), BY_NAME[base], rules)
    for mode, forward, base, rules in (
        (reverse_over_reverse, "quotient", "CascadeTorchCpu", PYTORCH),
        (reverse_over_reverse, "quotient written out", "LoopBackward", JAX),
        (reverse_over_reverse, "quotient of two nodes", "WelfordTwoStrided", PYTORCH),
        (reverse_over_reverse, "product", "AllRoundedUp", JAX),
        (reverse_over_reverse, "product", "Welford", PYTORCH),
        (reverse_over_reverse, "product of two nodes", "Pairwise", PYTORCH),
        (reverse_over_reverse, "scale", "LoopForward", RESULT),
        (reverse_over_reverse, "scale and shift", "LoopForward", PYTORCH),
        (reverse_over_reverse, "scale and shift", "WelfordEightContiguous", JAX),
        (reverse_over_reverse, "quotient", "FlushesToZero", PYTORCH),
        (reverse_over_reverse, "product", "FlushesToZero", JAX),
        (forward_over_reverse, "quotient", "LoopForward", JAX),
        (forward_over_reverse, "quotient written out", "RootUpDivisionDown", PYTORCH),
        (forward_over_reverse, "product", "WelfordFourContiguous", RESULT),
        (forward_over_reverse, "product of two nodes", "ChanInTurn", JAX),
        (forward_over_reverse, "scale", "AllRoundedDown", PYTORCH),
        (forward_over_reverse, "scale and shift", "LoopSorted", PYTORCH),
        (forward_over_reverse, "quotient", "FlushesToZeroWelford", RESULT),
        (reverse_over_forward, "quotient", "LoopForward", PYTORCH),
        (reverse_over_forward, "quotient written out", "BlocksOf64", JAX),
        (reverse_over_forward, "product", "RootDownDivisionUp", JAX),
        (reverse_over_forward, "scale", "CudaChannelsLast", PYTORCH),
        (reverse_over_forward, "scale and shift", "LoopInterleaved", RESULT),
        (reverse_over_forward, "product", "FlushesToZero", PYTORCH),
        (reverse_over_reverse, "quotients apart", "QuotientsApart", PYTORCH),
        (forward_over_reverse, "quotients apart", "QuotientsAdded", PYTORCH),
        (reverse_over_forward, "quotients apart", "AllRoundedUp", JAX),
        (reverse_over_reverse, "quotients of rows", "QuotientsOfXFirst", JAX),
        (forward_over_reverse, "quotients of rows", "QuotientsAddedInPairs", RESULT),
        (reverse_over_forward, "quotients of rows", "AllRoundedDown", PYTORCH),
        (forward_over_forward, "quotient", "LoopForward", JAX),
        (forward_over_forward, "quotient written out", "FlushesToZero", RESULT),
        (forward_over_forward, "product of two nodes", "AllRoundedUp", PYTORCH),
        (forward_over_forward, "scale", "Welford", JAX),
        (forward_over_forward, "scale and shift", "LoopForward", PYTORCH),
        (forward_over_forward, "scale and shift", "FlushesToZero", JAX),
        (forward_over_forward, "scale and shift", "RootDownDivisionUp", RESULT),
    )
)

OF_BACKWARD = tuple(
    SecondOrder(f"{mode.__name__.replace('_', ' ')} {backward.__name__.replace('_', ' ')}, {base}", mode(backward),
                BY_NAME[base], rules)
    for mode, backward, base, rules in (
        (reverse_of, closed_backward, "LoopForward", PYTORCH),
        (reverse_of, closed_backward, "AllRoundedUp", JAX),
        (reverse_of, closed_backward, "FlushesToZero", PYTORCH),
        (reverse_of, backward_as_torch, "Welford", PYTORCH),
        (reverse_of, backward_as_torch, "LoopBackward", JAX),
        (forward_of, closed_backward, "WelfordEightContiguous", JAX),
        (forward_of, closed_backward, "LoopSorted", PYTORCH),
        (forward_of, backward_as_torch, "LoopAlongAxis0", RESULT),
        (forward_of, backward_as_torch, "FlushesToZeroFolded", PYTORCH),
    )
)  # fmt: skip

SECOND_ORDER = CLOSED + AUTODIFF + OF_BACKWARD

OF_DECLARED_SUMS = tuple(
    algorithm
    for algorithm in SECOND_ORDER
    if not ("reverse" in algorithm.name and ("shift" in algorithm.name or "quotients" in algorithm.name))
)
"""Without those whose reverse mode adds up dy x, as none does that declares sums (ERROR_BOUNDS.md, section 2)."""
