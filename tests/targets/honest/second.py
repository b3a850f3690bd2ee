"""Honest algorithms of forward mode and second derivatives: closed forms, and formulas that are differentiated.

Which they are: ERROR_BOUNDS.md, section 16. Each takes statistics, sums, roots and arithmetic from one of
`forty.ALGORITHMS`, so that second derivatives are attacked with all that first ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from tests.targets.honest.adding import Array
from tests.targets.honest.algorithm import Algorithm, stored
from tests.targets.honest.autodiff import PYTORCH, Calculus, Number, Rules, mean_of, var_of, var_of_centred
from tests.targets.honest.forty import BY_NAME

Values = dict[str, Array]


@dataclass(frozen=True)
class Scale:
    """How eps enters; and mean and variance (C,), where they are given and not the batch's own."""

    eps: float
    outside: bool = False
    given: tuple[Number, Number] | None = None

    def std(self, var: Number) -> Number:
        return var.root().plus(self.eps) if self.outside else var.plus(self.eps).root()

    def inverse(self, var: Number) -> Number:
        """1/std, by a reciprocal root where there is one."""
        if self.outside:
            return var.calculus.constant(1.0) / self.std(var)
        return var.plus(self.eps).reciprocal_root()

    def slope(self, var: Number, r: Number) -> Number:
        """f: dr/dvar relative to -r^3/2."""
        one = var.calculus.constant(1.0)
        return one / (r * var.root()) if self.outside else one


@dataclass(frozen=True)
class At:
    """Where a derivative is taken and along what: x, dy, ddx (n, C); the rest (C,)."""

    x: Number
    dy: Number
    gamma: Number
    beta: Number
    ddx: Number
    ddgamma: Number
    ddbeta: Number

    @property
    def ways(self) -> list[Number]:
        return [self.ddx, self.ddgamma, self.ddbeta]


# --- statistics ---

Centred = tuple[Number, Number, Number]
"""mean (C,), x - mean (n, C), var (C,)"""


def composed(x: Number, scale: Scale) -> Centred:
    """Mean, x - mean, mean of squares: the chain rule goes through each."""
    if scale.given:
        mean, var = scale.given
        return mean, x - mean.spread(), var
    mean = mean_of(x)
    centred = x - mean.spread()
    return mean, centred, var_of_centred(x, centred)


def written_out(x: Number, scale: Scale) -> Centred:
    """The same in plain operations, whatever the algorithm's own statistics are."""
    if scale.given:
        return composed(x, scale)
    n = x.calculus.n
    mean = x.total().over(n)
    centred = x - mean.spread()
    return mean, centred, (centred * centred).total().over(n)


def two_nodes(x: Number, scale: Scale) -> Centred:
    """Mean and variance each as one operation of x, as PyTorch's var_mean."""
    if scale.given:
        return composed(x, scale)
    mean = mean_of(x)
    return mean, x - mean.spread(), var_of(x)


# --- forward: x, gamma, beta -> y ---

Forward = Callable[[Number, Number, Number, Scale], Number]


def by_quotient(x: Number, gamma: Number, beta: Number, scale: Scale, of: Callable = composed) -> Number:
    _, centred, var = of(x, scale)
    return centred / scale.std(var).spread() * gamma.spread() + beta.spread()


def by_product(x: Number, gamma: Number, beta: Number, scale: Scale, of: Callable = composed) -> Number:
    _, centred, var = of(x, scale)
    return gamma.spread() * (centred * scale.inverse(var).spread()) + beta.spread()


def by_scale(x: Number, gamma: Number, beta: Number, scale: Scale, of: Callable = composed) -> Number:
    _, centred, var = of(x, scale)
    return centred * (scale.inverse(var) * gamma).spread() + beta.spread()


def by_scale_and_shift(x: Number, gamma: Number, beta: Number, scale: Scale, of: Callable = composed) -> Number:
    mean, _, var = of(x, scale)
    factor = gamma * scale.inverse(var)
    return x * factor.spread() + (beta - mean * factor).spread()


def by_quotients_apart(x: Number, gamma: Number, beta: Number, scale: Scale, of: Callable = composed) -> Number:
    """Ioffe and Szegedy 2015, algorithm 2, read literally: (gamma/std) x + (beta - gamma mean/std)."""
    mean, _, var = of(x, scale)
    std = scale.std(var)
    return (gamma / std).spread() * x + (beta - gamma * mean / std).spread()


def by_quotients_of_rows(x: Number, gamma: Number, beta: Number, scale: Scale, of: Callable = composed) -> Number:
    """gamma x/std - gamma mean/std + beta: a quotient for each value."""
    mean, _, var = of(x, scale)
    std = scale.std(var)
    return gamma.spread() * x / std.spread() - (gamma * mean / std).spread() + beta.spread()


# --- backward in closed form: x, dy, gamma -> dx, dgamma, dbeta ---


def closed_backward(x: Number, dy: Number, gamma: Number, scale: Scale, of: Callable = composed) -> list[Number]:
    n = x.calculus.n
    _, centred, var = of(x, scale)
    r = scale.inverse(var)
    x_hat = centred * r.spread()
    dbeta, dgamma = dy.total(), (dy * x_hat).total()
    if scale.given:
        return [(gamma * r).spread() * dy, dgamma, dbeta]
    along = dgamma.over(n) * scale.slope(var, r)
    dx = (gamma * r).spread() * (dy - dbeta.over(n).spread() - x_hat * along.spread())
    return [dx, dgamma, dbeta]


def backward_as_torch(x: Number, dy: Number, gamma: Number, scale: Scale, of: Callable = two_nodes) -> list[Number]:
    """One projection on x - mean, as PyTorch's kernels."""
    n = x.calculus.n
    _, centred, var = of(x, scale)
    r = scale.inverse(var)
    projected, dbeta = (dy * centred).total(), dy.total()
    if scale.given:
        return [dy * (r * gamma).spread(), projected * r, dbeta]
    along = centred * (projected * r * r * scale.slope(var, r)).over(n).spread()
    return [(dy - along - dbeta.over(n).spread()) * (r * gamma).spread(), projected * r, dbeta]


# --- ways to differentiate twice: {observable: number} ---

Numbers = dict[str, Number]
Way = Callable[[Calculus, At, Scale], Numbers]


def forward_mode(c: Calculus, at: At, scale: Scale, forward: Forward) -> Number:
    return c.jvp(lambda x, gamma, beta: [forward(x, gamma, beta, scale)], [at.x, at.gamma, at.beta], at.ways)[0]


def gradients(c: Calculus, at: At, scale: Scale, forward: Forward) -> Callable[[Number, Number, Number], list[Number]]:
    """(x, dy, gamma) -> (dx, dgamma, dbeta) by reverse mode."""

    def of(x: Number, dy: Number, gamma: Number) -> list[Number]:
        return c.vjp(lambda x, gamma, beta: [forward(x, gamma, beta, scale)], [x, gamma, at.beta], [dy])

    return of


def reverse_over_reverse(forward: Forward) -> Way:
    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        dx2, ddy, dgamma2 = c.vjp(gradients(c, at, scale, forward), [at.x, at.dy, at.gamma], at.ways)
        return {"ty": forward_mode(c, at, scale, forward), "ddy": ddy, "dx2": dx2, "dgamma2": dgamma2}

    return way


def forward_over_reverse(forward: Forward) -> Way:
    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        of = gradients(c, at, scale, forward)
        dx2, dgamma2 = c.jvp(lambda x, gamma: of(x, at.dy, gamma)[:2], [at.x, at.gamma], at.ways[:2])
        return {"ty": forward_mode(c, at, scale, forward), "dx2": dx2, "dgamma2": dgamma2}

    return way


def reverse_over_forward(forward: Forward) -> Way:
    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        def along(x: Number, gamma: Number) -> list[Number]:
            function = lambda x, gamma, beta: [forward(x, gamma, beta, scale)]  # noqa: E731
            return c.jvp(function, [x, gamma, at.beta], at.ways)

        dx2, dgamma2 = c.vjp(along, [at.x, at.gamma], [at.dy])
        return {"ty": along(at.x, at.gamma)[0], "dx2": dx2, "dgamma2": dgamma2}

    return way


def forward_over_forward(forward: Forward) -> Way:
    """dx2 along (dy, 0, 0), since dy/dx is symmetric; dgamma2 is the sum of dy times the same along gamma."""

    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        def along(x: Number, gamma: Number) -> list[Number]:
            function = lambda x, gamma, beta: [forward(x, gamma, beta, scale)]  # noqa: E731
            return c.jvp(function, [x, gamma, at.beta], at.ways)

        (dx2,) = c.jvp(along, [at.x, at.gamma], [at.dy, None])
        (by_gamma,) = c.jvp(along, [at.x, at.gamma], [None, c.constant(1.0)])
        return {"ty": along(at.x, at.gamma)[0], "dx2": dx2, "dgamma2": (at.dy * by_gamma).total()}

    return way


Backward = Callable[[Number, Number, Number, Scale], Sequence[Number]]


def reverse_of(backward: Backward) -> Way:
    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        function = lambda x, dy, gamma: backward(x, dy, gamma, scale)  # noqa: E731
        dx2, ddy, dgamma2 = c.vjp(function, [at.x, at.dy, at.gamma], at.ways)
        return {"ddy": ddy, "dx2": dx2, "dgamma2": dgamma2}

    return way


def forward_of(backward: Backward) -> Way:
    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        function = lambda x, gamma: backward(x, at.dy, gamma, scale)[:2]  # noqa: E731
        dx2, dgamma2 = c.jvp(function, [at.x, at.gamma], at.ways[:2])
        return {"dx2": dx2, "dgamma2": dgamma2}

    return way


# --- closed forms ---


def constants(at: At, scale: Scale) -> Numbers:
    """In prediction y is linear in x."""
    _, centred, var = composed(at.x, scale)
    r = scale.inverse(var)
    x_hat = centred * r.spread()
    ddy = (at.gamma * r).spread() * at.ddx + at.ddgamma.spread() * x_hat + at.ddbeta.spread()
    return {"ty": ddy, "ddy": ddy, "dx2": (at.ddgamma * r).spread() * at.dy, "dgamma2": (at.ddx * at.dy).total() * r}


def closed(c: Calculus, at: At, scale: Scale) -> Numbers:
    """As the reference: every projection of centred rows."""
    if scale.given:
        return constants(at, scale)
    _, centred, var = composed(at.x, scale)
    r, n = scale.inverse(var), c.n
    f, x_hat = scale.slope(var, r), centred * r.spread()
    a, g = (rows - rows.total().over(n).spread() for rows in (at.ddx, at.dy))
    h, along, both = ((p * q).total().over(n) for p, q in ((a, x_hat), (g, x_hat), (a, g)))
    return _from_projections(at, (a, g), (h, along, both), x_hat, r, f)


def closed_of_rows(c: Calculus, at: At, scale: Scale) -> Numbers:
    """Every projection of the rows as they are given, and a covariance that is a difference."""
    if scale.given:
        return constants(at, scale)
    _, centred, var = composed(at.x, scale)
    r, n = scale.inverse(var), c.n
    f, x_hat = scale.slope(var, r), centred * r.spread()
    mean_a, mean_g = (rows.total().over(n) for rows in (at.ddx, at.dy))
    h, along = ((rows * centred).total().over(n) * r for rows in (at.ddx, at.dy))
    both = (at.ddx * at.dy).total().over(n) - mean_a * mean_g
    rows = at.ddx - mean_a.spread(), at.dy - mean_g.spread()
    return _from_projections(at, rows, (h, along, both), x_hat, r, f)


def closed_by_quotients(c: Calculus, at: At, scale: Scale) -> Numbers:
    """No r: everything is divided by std, and r^2 by 1/(var + eps) where eps is inside the root."""
    if scale.given:
        return reverse_over_reverse(by_quotient)(c, at, scale)
    _, centred, var = composed(at.x, scale)
    std, n, one = scale.std(var), c.n, c.constant(1.0)
    f, x_hat = scale.slope(var, one / std), centred / std.spread()
    square = one / (std * std) if scale.outside else one / var.plus(scale.eps)
    a, g = (rows - rows.total().over(n).spread() for rows in (at.ddx, at.dy))
    h, along = ((rows * centred / std.spread()).total().over(n) for rows in (a, g))
    both = (a * g).total().over(n)
    ddy = (a - x_hat * (f * h).spread()) / std.spread() * at.gamma.spread()
    ddy = ddy + (x_hat * at.ddgamma.spread() + at.ddbeta.spread())
    curvature = (f * f).times(2.0) + f * f * f
    t = x_hat * (curvature * h * along - f * both).spread() - (a * along.spread() + g * h.spread()) * f.spread()
    dx2 = t * (square * at.gamma).spread()
    dx2 = dx2 + (g - x_hat * (f * along).spread()) / std.spread() * at.ddgamma.spread()
    return {"ty": ddy, "ddy": ddy, "dx2": dx2, "dgamma2": (both - f * h * along).times(float(n)) / std}


def multiplied_out(c: Calculus, at: At, scale: Scale) -> Numbers:
    """Every term by itself, cubes of r formed first."""
    if scale.given:
        return reverse_over_reverse(by_scale_and_shift)(c, at, scale)
    _, centred, var = composed(at.x, scale)
    r, n = scale.inverse(var), c.n
    f, cube = scale.slope(var, r), r * r * r
    sum_a, sum_g = at.ddx.total(), at.dy.total()
    p, q = ((rows * centred).total().over(n) for rows in (at.ddx, at.dy))
    both = (at.ddx * at.dy).total().over(n) - (sum_a * sum_g).over(n).over(n)
    fifth = cube * r * r * ((f * f).times(2.0) + f * f * f) * p * q
    dx2 = (centred * fifth.spread() - centred * (cube * f * both).spread()) * at.gamma.spread()
    for rows, total, projected in ((at.ddx, sum_a, q), (at.dy, sum_g, p)):
        factor = cube * f * projected * at.gamma
        dx2 = dx2 - rows * factor.spread() + (total.over(n) * factor).spread()
    of_g = at.dy * r.spread() - (sum_g.over(n) * r).spread() - centred * (cube * f * q).spread()
    dx2 = dx2 + of_g * at.ddgamma.spread()
    of_a = at.ddx * r.spread() - (sum_a.over(n) * r).spread() - centred * (cube * f * p).spread()
    ddy = of_a * at.gamma.spread() + (centred * r.spread()) * at.ddgamma.spread() + at.ddbeta.spread()
    return {"ty": ddy, "ddy": ddy, "dx2": dx2, "dgamma2": (at.ddx * of_g).total()}


def _from_projections(
    at: At, rows: tuple[Number, Number], of: tuple[Number, Number, Number], x_hat: Number, r: Number, f: Number
) -> Numbers:
    (a, g), (h, along, both) = rows, of
    n = r.calculus.n
    of_x = (at.gamma * r).spread() * (a - x_hat * (f * h).spread())
    ddy = of_x + at.ddgamma.spread() * x_hat + at.ddbeta.spread()
    curvature = (f * f).times(2.0) + f * f * f
    turned = x_hat * (curvature * h * along - f * both).spread() - f.spread() * (a * along.spread() + g * h.spread())
    of_gamma = (at.ddgamma * r).spread() * (g - x_hat * (f * along).spread())
    dx2 = (at.gamma * r * r).spread() * turned + of_gamma
    return {"ty": ddy, "ddy": ddy, "dx2": dx2, "dgamma2": (both - f * h * along) * r.times(float(n))}


# --- algorithms ---


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

FORWARDS: Mapping[str, Forward] = MappingProxyType(
    {
        "quotient": by_quotient,
        "quotient written out": partial(by_quotient, of=written_out),
        "quotient of two nodes": partial(by_quotient, of=two_nodes),
        "product": by_product,
        "product of two nodes": partial(by_product, of=two_nodes),
        "scale": partial(by_scale, of=written_out),
        "scale and shift": by_scale_and_shift,
        "quotients apart": by_quotients_apart,
        "quotients of rows": by_quotients_of_rows,
    }
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
