"""What is differentiated twice: statistics, forwards and backwards as people write them (ERROR_BOUNDS.md, 16)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from tests.targets.honest.autodiff import Number, mean_of, var_of, var_of_centred


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
