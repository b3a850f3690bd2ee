"""No formula that counts as honest can leave its bound, however its roundings fall: to first order, and in arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reference import layer_formulas, second_derivative_bounds
from reference.error_bounds import moving_bound, precision_of
from reference.layer_formulas import LayerQuantities
from tests.experiments.every_rounding import (
    ATTACKED,
    ROOTS,
    WEIGHTED,
    OfDerivatives,
    OfLayers,
    OfReverseMode,
    evolved,
    saved,
)
from tests.experiments.evolve.directed import Directed
from tests.experiments.evolve.evaluate import Population, Setting, computed, exact_step
from tests.experiments.tightness import ordinary
from tests.targets.honest import gradients, second, second_formulas, second_ways, statistics
from tests.targets.honest.declared import DECLARED
from tests.targets.honest.every_rounding import BY_ROOT, UNIT, Roundings, in_pairs, in_turn, in_twice_the_digits

INSIDE = "inside_sqrt"


def test_the_greatest_error_is_that_of_each_rounding():
    a = Roundings().number(np.array([[3.1], [5.2], [7.3], [-2.4]]))
    assert in_turn(a).greatest_error / UNIT == pytest.approx([8.3 + 15.6 + 13.2])
    assert in_pairs(a).greatest_error / UNIT == pytest.approx([8.3 + 4.9 + 13.2])
    assert in_twice_the_digits(a).greatest_error / UNIT == pytest.approx([13.2])
    one_left = Roundings().number(np.array([[0.0], [5.2], [0.0]]))
    assert all(add(one_left).greatest_error == 0 for add in (in_turn, in_pairs, in_twice_the_digits))
    x = Roundings().number(np.array([[3.0], [5.0]]))
    zero_but_for_a_rounding = x * x - np.array([[9.0], [0.0]])
    assert in_twice_the_digits(zero_but_for_a_rounding).greatest_error / UNIT == pytest.approx([9 + 25 + 25])
    of = Roundings()
    x = of.number(np.array([3.0]))
    assert (x * x / x).greatest_error / UNIT == pytest.approx([9])  # u of the product, 2u of the quotient
    assert (x * of.number(2.0)).greatest_error == 0
    product = x * x
    assert (product - product).greatest_error == 0  # the same rounding in both


def test_what_is_exact_in_declared_sums_rounds_nowhere():
    of = Roundings(of_first_place=True)
    assert in_pairs(of.number(np.array([[1.0], [2.0], [3.0]]))).greatest_error == 0
    third = of.number(np.array([1.0])) / of.number(np.array([3.0]))
    assert third.greatest_error / UNIT == 2 * 0.25  # half an ulp twice, of a number from 1/4 to 1/2


@pytest.mark.parametrize("title", ATTACKED)
def test_no_formula_is_beyond_its_bound(title):
    """A slice of EVERY_ROUNDING.md."""
    for seed in range(2):
        best = evolved(ATTACKED[title], seed, 2 + seed, generations=2, channels=32)
        assert max(greatest.ratio for greatest in best.values()) <= 1
        of_layers = [greatest.ratio for (name, _), greatest in best.items() if name == "y"]
        assert max(of_layers, default=1.0) > 0.99


# --- what the bounds lacked ---

CANCELS = Population(
    *(np.repeat(np.float32(a)[..., None], 2, axis=-1)
      for a in ([-7016.2188, -7017.5254], [0.13939944, -0.19627853], 1.4992596, 0.5, 0.0, 1.0))
)  # fmt: skip
EPS_OF_A_THOUSANDTH = Setting(1e-3, INSIDE, 0.9, unbiased=False)


def closed_form_in_one_grouping(layer: LayerQuantities, n: int, per_std: Any) -> Any:
    c, scale = layer.dgamma.over(n), layer.gamma * layer.r
    c = c if per_std is None else c * per_std
    return scale * layer.dy - scale * layer.sum_dy.over(n) - layer.d_regrouped * layer.r * (scale * c)


def test_three_coefficients_of_declared_sums(monkeypatch):
    """a dy + b x + c, where mean/std is 10^4: in float32 arrays it was 1.22 of the bound."""
    (algorithm,) = (a for a in DECLARED["pairwise_in_order"] if a.name == "ShiftedTwoPass")

    def ratio() -> float:
        want, bound = exact_step(CANCELS, EPS_OF_A_THOUSANDTH, "pairwise_in_order")
        got = computed(CANCELS, EPS_OF_A_THOUSANDTH, algorithm)
        return float((np.abs(got["dx"] - want["dx"]) / bound["dx"]).max())

    assert 0.8 < ratio() <= 1
    monkeypatch.setattr(layer_formulas, "dx_of_declared_sums", closed_form_in_one_grouping)
    assert ratio() > 1.2


def test_n_dy_and_a_division_by_n_of_declared_sums(monkeypatch):
    """(1/n) gamma r (n dy - ...) rounds dy by four more."""
    x = [0.0, 0.00053125003, 0.0010625001, 0.00159375, 0.0021250001, 0.00265625, 0.0031875]
    dy = [0.28891578, -0.2896455, 0.033648156, 0.0039065299, 0.0039066118, 0.0039067166, 0.009962151]
    population = Population(*(np.float32(a)[..., None] for a in (x, dy, 1.0, 0.0, 0.0, 1.0)))

    def ratio() -> float:
        of, of_batch, roots = OfLayers("pairwise_in_order"), statistics.shifted_two_pass, ROOTS["reciprocal root"]
        ratios = of.ratios_of(population, replace(EPS_OF_A_THOUSANDTH, eps=0.00158), of_batch, roots)
        return float(ratios["dx", "textbooks.simplified"].max())

    assert ratio() <= 1
    monkeypatch.setattr(layer_formulas, "dx_of_declared_sums", closed_form_in_one_grouping)
    assert ratio() > 1.03  # reverse mode's bound has nearly as much


def without_halves(layer: LayerQuantities, dv: Any, through_x: Any, n: int, per_std: Any) -> Any:
    """What comes through the variance as one term."""
    through_v = layer.d * (dv if per_std is None else dv * per_std).over(n).times(2.0)
    both = through_x + through_v
    return both - (through_x.sum() + through_v.sum()).or_worse(both.sum()).over(n)


def test_reverse_mode_of_a_variance_that_is_written_out(monkeypatch):
    """(d * d).mean() has a derivative by each factor: two additions to what comes through x - mean, not one."""
    x = [-1.1821312909887638e-05, -1.4675210877612699e-05, 1.2442716069926973e-05, -1.1814016033895314e-05]
    dy = [-0.00046939030289649963, 0.02468012645840645, 0.053369101136922836, -0.08000876754522324]
    population = Population(*(np.float32(a)[..., None] for a in (x, dy, 1.0, 0.0, 0.0, 1.0)))

    def ratio() -> float:
        of = OfReverseMode("pairwise_in_order")
        setting = replace(EPS_OF_A_THOUSANDTH, eps=1e-5)
        ratios = of.ratios_of(population, setting, statistics.two_pass, ROOTS["root"])
        return float(ratios["dx", "quotient written out"].max())

    assert 0.9 < ratio() <= 1
    monkeypatch.setattr(layer_formulas, "through_statistics", without_halves)
    assert ratio() > 1.2


FAR_FROM_ZERO = {
    "x": [176399.546875, 176482.953125, 176662.046875],
    "dy": [163.009033203125, 163.00904846191406, 163.00901794433594],
    "gamma": -29.139354705810547, "beta": 0.013705468736588955, "moving_mean": 0.0, "moving_var": 1.0,
    "ddx": [21.969139099121094, -0.03631260618567467, -21.93281364440918],
    "ddgamma": -2.3694541454315186, "ddbeta": 0.0,
}  # fmt: skip


FAR_FROM_ZERO_AND_NARROW = {
    "x": [1.9990479946136475, 1.9990239143371582, 1.9989999532699585],
    "dy": [162.31532287597656, 162.31480407714844, 162.31507873535156],
    "gamma": 0.8617966175079346, "beta": -120.46243286132812, "moving_mean": 0.0, "moving_var": 1.0,
    "ddx": [219.69139099121094, -0.36312609910964966, -219.32814025878906],
    "ddgamma": 1.564497470855713, "ddbeta": 24.33380126953125,
}  # fmt: skip


def greatest_ratio(
    channel: dict[str, Any], observable: str, way: second_ways.Way, summation: str = "any", of_batch: Any = WEIGHTED
) -> float:
    directed = Directed(**{name: np.float32(a)[..., None] for name, a in channel.items()})
    setting, roots = Setting(1e-5, INSIDE, 0.1, True), ROOTS["reciprocal root"]
    ratios = OfDerivatives(summation).ratios_of(directed, setting, way, second.RESULT, of_batch, roots)
    return float(ratios[observable].max())


@pytest.mark.parametrize("forward", [second_formulas.by_quotients_apart, second_formulas.by_quotients_of_rows])
def test_second_derivatives_of_quotients_apart(monkeypatch, forward):
    """x/std and mean/std round apart in y, and in what is derived from it."""
    assert greatest_ratio(FAR_FROM_ZERO, "dgamma2", second_ways.reverse_over_forward(forward)) <= 1
    projection = LayerQuantities.projection
    monkeypatch.setattr(LayerQuantities, "projection", lambda layer, _: projection(layer, 3.0))
    assert greatest_ratio(FAR_FROM_ZERO, "dgamma2", second_ways.reverse_over_forward(forward)) > 1.1


def test_forward_mode_of_quotients_apart(monkeypatch):
    way = second_ways.reverse_over_forward(second_formulas.by_quotients_apart)
    assert greatest_ratio(FAR_FROM_ZERO_AND_NARROW, "ty", way) <= 1
    projection = LayerQuantities.projection
    monkeypatch.setattr(LayerQuantities, "projection", lambda layer, _: projection(layer, 3.0))
    monkeypatch.setattr(second_derivative_bounds, "x_and_m_apart", second_derivative_bounds.by_shift)
    assert greatest_ratio(FAR_FROM_ZERO_AND_NARROW, "ty", way) > 1


FAR_AND_WIDE = {
    "x": [-135073.375, -134903.34375, -134732.5625],
    "dy": [0.001032368279993534, 0.001032328582368791, -1.5346861559351055e-09],
    "gamma": -3.3316948413848877, "beta": 22.11525535583496, "moving_mean": 0.0, "moving_var": 1.0,
    "ddx": [0.06594064086675644, 0.06559155881404877, 0.06559153646230698],
    "ddgamma": 11.020706176757812, "ddbeta": 0.08883502334356308,
}  # fmt: skip


def test_scale_and_shift_of_declared_sums_in_forward_over_forward(monkeypatch):
    """x s'' is added to two things before it meets m s''."""
    of = (
        second_ways.forward_over_forward(second_formulas.by_scale_and_shift),
        "pairwise_in_order",
        statistics.two_pass_reciprocal_count,
    )
    assert 0.5 < greatest_ratio(FAR_AND_WIDE, "dx2", *of) <= 1
    monkeypatch.setattr(LayerQuantities, "difference_of_sums", lambda layer, _: layer.d_regrouped)
    assert greatest_ratio(FAR_AND_WIDE, "dx2", *of) > 1.3


NEAR = {
    "x": [48.242923736572266, 48.03085708618164, 47.431278228759766, 47.22519302368164, 46.248172760009766],
    "dy": [867.6356811523438, 162.54078674316406, -12.098896980285645, -423.7243347167969, -592.3419189453125],
    "gamma": 126.83000183105469, "beta": 0.0, "moving_mean": 0.0, "moving_var": 1.0,
    "ddx": [0.001996874576434493, 0.0003901532618328929, -1.6519733359032784e-09, -1.851212516612577e-09,
            0.00039086141623556614],
    "ddgamma": -76.18106079101562, "ddbeta": -2.80214524269104,
}  # fmt: skip


def test_quotients_apart_in_forward_over_forward_are_not_covered():
    """As ERROR_BOUNDS.md says: s'' is made anew for x and for m, each time of a dozen roundings."""
    way = second_ways.forward_over_forward(second_formulas.by_quotients_apart)
    assert greatest_ratio(NEAR, "dx2", way, of_batch=statistics.two_pass_reciprocal_count) > 1.1


def averages(old: Any, new: Any, keep: Any, weight: Any, one: Any) -> list[Any]:
    """keep and weight: each rounded once; or the other is taken from 1."""
    return [
        keep * old + (one - keep) * new, (one - weight) * old + weight * new, keep * old + weight * new,
        old + weight * (new - old), old + (one - keep) * (new - old), old - (old - new) * weight,
        new - keep * (new - old), new - (one - weight) * (new - old),
    ]  # fmt: skip


@pytest.mark.parametrize("n", [None, 2, 3, 7])
def test_no_form_of_a_moving_average_is_beyond_its_bound_and_one_attains_it(n):
    """n: with Bessel's factor, of the variance or of its weight."""
    rng, greatest = np.random.default_rng(1), 0.0
    for keep in (0.9, 0.5, 0.001, 0.999, 0.99999):
        new = rng.normal(size=400) * 10.0 ** rng.uniform(-3, 3, 400)
        old = np.where(rng.random(400) < 0.5, new * (1 + 1e-3 * rng.normal(size=400)), rng.normal(size=400))
        old = np.where(rng.random(400) < 0.2, 0.0, old)
        of = Roundings()
        k, w = (of.result(np.full(400, a), [], 1.0) for a in (keep, 1 - keep))
        a, b, one = of.number(old), of.number(new), of.number(np.ones(400))
        if n is None:
            factor, of_var, forms = 1.0, 0.0, averages(a, b, k, w, one)
        else:
            factor, of_var = n / (n - 1), 4 * UNIT * np.abs(new) * n / (n - 1)  # LayerBounds._carry
            above, below = (of.number(np.full(400, float(count))) for count in (n, n - 1))
            forms = averages(a, b * (above / below), k, w, one) + averages(a, b * above / below, k, w, one)
            forms += [(one - w) * a + (w * above / below) * b, k * a + ((one - k) * (above / below)) * b]
        bound = moving_bound(0.0, old, new * factor, of_var, keep, 1 - keep, precision_of("float32"))
        greatest = max(greatest, *(float((form.greatest_error / bound).max()) for form in forms))
    assert 0.99 < greatest <= 1


def test_dgamma_of_a_thousand_values_attains_its_declared_bound():
    """Ordinary data: no proof can make the bound of pairwise sums in order narrower by more than 2%."""
    population, setting = ordinary(1024, kappa=0.1, channels=1, seed=1)
    _, bound = exact_step(population, setting, "pairwise_in_order")
    of = Roundings(of_first_place=True)
    x, gamma, beta, dy = (of.number(a) for a in (population.x, population.gamma, population.beta, population.dy))
    mean, var = statistics.shifted_two_pass(x, in_pairs, BY_ROOT.divide)
    dgamma = gradients.of_quotient(saved(x, gamma, beta, mean, var, setting, BY_ROOT, in_pairs), dy)
    assert 0.98 < float(dgamma.greatest_error[0] / bound["dgamma"][0]) <= 1
