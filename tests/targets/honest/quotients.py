"""Forms of y and of the gradients that divide x and the mean by std apart: these quotients' roundings do not cancel.

Written with `Roots.divide`, so that a division may be off by an ulp either way.
"""

from __future__ import annotations

from tests.targets.honest.adding import Array
from tests.targets.honest.gradients import Saved


def normalized(s: Saved) -> Array:
    return s.roots.divide(s.x, s.std) - s.roots.divide(s.mean, s.std)


# --- y ---


def difference_of_quotients(s: Saved) -> Array:
    return s.gamma * normalized(s) + s.beta


def quotients_with_gamma(s: Saved) -> Array:
    return s.roots.divide(s.gamma * s.x, s.std) - s.roots.divide(s.gamma * s.mean, s.std) + s.beta


# --- dgamma ---


def of_quotients(s: Saved, dy: Array) -> Array:
    return s.add(dy * normalized(s))


def of_quotients_with_dy(s: Saved, dy: Array) -> Array:
    return s.add(s.roots.divide(dy * s.x, s.std) - s.roots.divide(dy * s.mean, s.std))


def of_quotients_of_sums(s: Saved, dy: Array) -> Array:
    """sum(dy x)/std - mean sum(dy)/std."""
    return s.roots.divide(s.add(dy * s.x), s.std) - s.roots.divide(s.mean * s.add(dy), s.std)


# --- dx ---


def multiplied_out(s: Saved, dy: Array, dgamma: Array) -> Array:
    """Four terms, each with quotients of its own, those of x and the mean last."""
    divide, k = s.roots.divide, s.slope * dgamma
    of_x, of_mean = (divide(divide(divide(s.gamma * a, s.std) * k, s.std), s.n) for a in (s.x, s.mean))
    return divide(s.gamma * dy, s.std) - divide(divide(s.gamma, s.std) * s.add(dy), s.n) - of_x + of_mean


def of_x_first(s: Saved, dy: Array, dgamma: Array) -> Array:
    """The same with n and gamma later; what x has is subtracted from dy first."""
    divide, k = s.roots.divide, s.slope * dgamma
    of_x, of_mean = (divide(divide(divide(a, s.std) * k, s.n) * s.gamma, s.std) for a in (s.x, s.mean))
    of_dy = divide(s.gamma * dy, s.std)
    return ((of_dy - of_x) + of_mean) - divide(divide(s.gamma * s.add(dy), s.std), s.n)


def of_means_of_quotients(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """Both means of the closed form with 1/n inside their sums."""
    divide, xh, dxh = s.roots.divide, s.d * s.r, dy * s.gamma
    of_xh = s.add(divide(dxh * xh, s.n)) * s.slope
    return (dxh - s.add(divide(dxh, s.n)) - xh * of_xh) * s.r


def over_n(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """(n dxh - sum(dxh) - xh sum(dxh xh))/n/std, dxh = dy gamma, as many write it; xh by two quotients."""
    divide, xh, dxh = s.roots.divide, normalized(s), dy * s.gamma
    return divide(divide(s.n * dxh - s.add(dxh) - xh * (s.slope * s.add(dxh * xh)), s.n), s.std)


# --- dx in prediction ---


def gamma_first(s: Saved, dy: Array) -> Array:
    return s.roots.divide(dy * s.gamma, s.std)


def std_first(s: Saved, dy: Array) -> Array:
    return s.roots.divide(dy, s.std) * s.gamma
