"""The same products in other orders, and numbers below the smallest normal one become zero.

A product of three factors rounds alike in every order, but underflows elsewhere: (gamma d) r is zero where gamma d is
too small, even if r is large.
"""

from __future__ import annotations

from tests.targets.honest import averages, gradients, statistics
from tests.targets.honest.adding import Array, forward, pairwise
from tests.targets.honest.algorithm import Algorithm, flushing
from tests.targets.honest.gradients import Saved
from tests.targets.honest.statistics import Welford

# --- y ---


def gamma_times_deviation(s: Saved) -> Array:
    """gamma * (x - mean) * rsqrt(var + eps) + beta, from left to right."""
    return s.gamma * s.d * s.r + s.beta


def gamma_times_deviation_over_std(s: Saved) -> Array:
    return s.roots.divide(s.gamma * s.d, s.std) + s.beta


def r_after_the_difference(s: Saved) -> Array:
    """(x gamma - mean gamma) r + beta"""
    return (s.x * s.gamma - s.mean * s.gamma) * s.r + s.beta


# --- dgamma ---


def r_times_upstream(s: Saved, dy: Array) -> Array:
    """As autodiff has it for gamma * (x - mean) * r."""
    return s.add(dy * s.r * s.d)


def r_last_in_the_sum(s: Saved, dy: Array) -> Array:
    return s.add(dy * s.d * s.r)


def regrouped_with_r_inside(s: Saved, dy: Array) -> Array:
    return s.r * s.add(dy * s.x) - s.mean * s.r * s.add(dy)


# --- dx in prediction ---


def r_before_gamma(s: Saved, dy: Array) -> Array:
    return dy * s.r * s.gamma


def gamma_before_r(s: Saved, dy: Array) -> Array:
    return dy * s.gamma * s.r


def over_std_times_gamma(s: Saved, dy: Array) -> Array:
    return s.roots.divide(dy, s.std) * s.gamma


def times_gamma_over_std(s: Saved, dy: Array) -> Array:
    return s.roots.divide(dy * s.gamma, s.std)


# --- dx in training ---


def inner(s: Saved, dy: Array, dgamma: Array) -> Array:
    return dy - s.add(dy) / s.n - s.xh * (s.slope * dgamma / s.n)


def gamma_then_r(s: Saved, dy: Array, dgamma: Array) -> Array:
    return inner(s, dy, dgamma) * s.gamma * s.r


def r_then_gamma(s: Saved, dy: Array, dgamma: Array) -> Array:
    return inner(s, dy, dgamma) * s.r * s.gamma


def deviation_times_covariance(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """gamma r ((dy - mean(dy)) - (x - mean) mean(dy (x - mean)) r^2), read from left to right."""
    covariance = s.add(dy * s.d) / s.n
    return (dy - s.add(dy) / s.n - s.d * covariance * s.slope * s.r * s.r) * s.gamma * s.r


def three_factors_last(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """The same multiplied out."""
    covariance = s.add(dy * s.d) / s.n
    third = s.d * covariance * s.slope * s.gamma * s.r * s.r * s.r
    return dy * s.gamma * s.r - s.add(dy) / s.n * s.gamma * s.r - third


def cube_first(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    cube = s.r * s.r * s.r * s.gamma
    third = cube * (s.add(dy * s.d) / s.n) * s.d * s.slope
    return dy * s.r * s.gamma - s.add(dy * s.r * s.gamma) / s.n - third


def divided_first(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """The upstream gradient over n before it is summed."""
    share = dy / s.n
    third = s.xh * s.add(share * s.xh) * s.slope * s.gamma * s.r
    return dy * s.gamma * s.r - s.add(share) * s.gamma * s.r - third


def scale_over_n(s: Saved, dy: Array, dgamma: Array) -> Array:
    return (s.n * dy - s.add(dy) - s.xh * (s.slope * dgamma)) * s.gamma / s.n * s.r


# --- dx, reverse mode ---


def left_to_right(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """Of gamma * (x - mean) * r: its gradient by r is a sum of dy (gamma d)."""
    T = s.x.dtype.type
    by_d = dy * s.r * s.gamma
    dvar = s.add(dy * (s.gamma * s.d)) * T(-0.5) * s.r * s.r * s.r * s.slope
    through_var = dvar * s.d * T(2) / s.n
    return by_d + through_var - (s.add(by_d) + s.add(through_var)) / s.n


def by_quotients_of_variance(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    T = s.x.dtype.type
    by_d = s.roots.divide(dy * s.gamma, s.std)
    upstream = dy * s.gamma * s.d
    dvar = s.roots.divide(s.roots.divide(s.add(upstream), s.std * s.std), s.std) * T(-0.5) * s.slope
    both = by_d + s.d * (dvar / s.n) * T(2)
    return both - s.add(both) / s.n


def flushes(name: str, **choices: object) -> Algorithm:
    return Algorithm(f"Flushes{name}", **{"add": pairwise, "arithmetic": flushing} | choices)  # type: ignore[arg-type]


ORDERS_THAT_FLUSH = (
    flushes("GammaFirst", output=gamma_times_deviation, eval_dx=r_before_gamma, dgamma=r_times_upstream,
            dx=left_to_right),
    flushes("GammaFirstWelford", statistics=Welford(), output=gamma_times_deviation_over_std,
            eval_dx=over_std_times_gamma, dgamma=r_last_in_the_sum, dx=gamma_then_r),
    flushes("GammaInBoth", output=r_after_the_difference, eval_dx=gamma_before_r, dgamma=regrouped_with_r_inside,
            dx=r_then_gamma, average=averages.increment),
    flushes("RAfterTheDifference", statistics=Welford(reciprocal=True), output=r_after_the_difference,
            eval_dx=times_gamma_over_std, dx=deviation_times_covariance, average=averages.decrement),
    flushes("ThreeFactorsLast", statistics=Welford(None, statistics.chan_by_product), dx=three_factors_last,
            output=gradients.scale_and_shift, average=averages.from_new),
    flushes("CubeFirst", statistics=Welford(None, in_turn=True), dgamma=gradients.of_deviation, dx=cube_first),
    flushes("DividedFirst", statistics=statistics.corrected_two_pass, dx=divided_first, add=forward),
    flushes("ScaleOverN", statistics=statistics.shifted_two_pass, output=gamma_times_deviation, dx=scale_over_n),
    flushes("ByQuotients", statistics=Welford(4, statistics.weighted_mean), output=gradients.divided_by_std,
            dgamma=gradients.of_quotient, dx=by_quotients_of_variance),
    flushes("CudaMerges", statistics=Welford(None, statistics.weighted_mean), dgamma=gradients.regrouped,
            output=gradients.difference_of_products, dx=gradients.three_coefficients),
    flushes("Torch", output=gradients.scaled_deviation, dx=gradients.as_torch, eval_dx=over_std_times_gamma),
    flushes("TermsApart", output=gradients.scale_and_shift, dx=gradients.terms_apart),
)  # fmt: skip
