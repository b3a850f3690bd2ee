"""Second derivatives in closed form, by the formulas of ERROR_BOUNDS.md, section 16, put together in several ways."""

from __future__ import annotations

from tests.targets.honest.autodiff import Calculus, Number
from tests.targets.honest.second_formulas import At, Scale, by_quotient, by_scale_and_shift, composed
from tests.targets.honest.second_ways import Numbers, reverse_over_reverse


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
