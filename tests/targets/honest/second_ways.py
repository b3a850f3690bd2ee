"""Ways to differentiate twice, forwards and backwards, what a forward or a backward of `second_formulas` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.targets.honest.autodiff import Calculus, Number
from tests.targets.honest.second_formulas import At, Forward, Scale

Numbers = dict[str, Number]
Way = Callable[[Calculus, At, Scale], Numbers]


def tangents(c: Calculus, at: At, scale: Scale, forward: Forward) -> Callable[[Number, Number], list[Number]]:
    """(x, gamma) -> [the tangent of y] by forward mode."""

    def of(x: Number, gamma: Number) -> list[Number]:
        return c.jvp(lambda x, gamma, beta: [forward(x, gamma, beta, scale)], [x, gamma, at.beta], at.ways)

    return of


def forward_mode(c: Calculus, at: At, scale: Scale, forward: Forward) -> Number:
    return tangents(c, at, scale, forward)(at.x, at.gamma)[0]


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
        along = tangents(c, at, scale, forward)
        dx2, dgamma2 = c.vjp(along, [at.x, at.gamma], [at.dy])
        return {"ty": along(at.x, at.gamma)[0], "dx2": dx2, "dgamma2": dgamma2}

    return way


def forward_over_forward(forward: Forward) -> Way:
    """dx2 along (dy, 0, 0), since dy/dx is symmetric; dgamma2 is the sum of dy times the same along gamma."""

    def way(c: Calculus, at: At, scale: Scale) -> Numbers:
        along = tangents(c, at, scale, forward)
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
