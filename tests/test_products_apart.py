"""y as algorithm 2 of Ioffe and Szegedy 2015 has it for prediction, read literally, stays within its bound."""

from __future__ import annotations

import numpy as np
import pytest

from reference import layer_formulas
from reference.error_bounds import eval_bounds, precision_of

EPS = 1e-5
CHANNELS, VALUES = 4000, 20


def algorithm_2(x, gamma, beta, mean, std):
    return gamma / std * x + (beta - gamma * mean / std)


def beta_first(x, gamma, beta, mean, std):
    return (gamma / std * x + beta) - gamma * mean / std


def products_by_r(x, gamma, beta, mean, std):
    r = np.float32(1) / std
    return x * r * gamma + (beta - gamma * r * mean)


def greatest_ratio(form) -> float:
    """error/bound over channels whose mean is up to 10^4 standard deviations."""
    rng = np.random.default_rng(1)
    size = 10.0 ** rng.uniform(-3, 3, CHANNELS)
    mean = (10.0 ** rng.uniform(-1, 4, CHANNELS) * size * rng.choice([-1, 1], CHANNELS)).astype(np.float32)
    var = (size**2).astype(np.float32)
    x = (mean + size * rng.standard_normal((VALUES, CHANNELS))).astype(np.float32)
    gamma, beta = rng.uniform(-3, 3, (2, CHANNELS)).astype(np.float32)
    y = form(x, gamma, beta, mean, np.sqrt(var + np.float32(EPS)))
    wide = [a.astype(np.longdouble) for a in (x, gamma, beta, mean, var)]
    exact = (wide[0] - wide[3]) * (wide[1] / np.sqrt(wide[4] + np.longdouble(EPS))) + wide[2]
    bounds = eval_bounds(x, np.zeros_like(x), gamma, beta, mean, var, EPS, precision_of("float32"))
    return float((np.abs(y - exact) / bounds["y"]).max())


@pytest.mark.parametrize("form", [algorithm_2, beta_first, products_by_r])
def test_products_that_are_made_apart(form, monkeypatch):
    assert greatest_ratio(form) <= 1
    monkeypatch.setattr(layer_formulas, "y_of_products_apart", lambda _: [])
    assert greatest_ratio(form) > 1
