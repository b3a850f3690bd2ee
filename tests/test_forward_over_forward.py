"""dx2 is y's second derivative along the directions and (dy, 0, 0), as ERROR_BOUNDS.md, 16, has it."""

from dataclasses import replace

import numpy as np
import pytest

from reference.conventions import PRESETS
from reference.under_test import ReferenceLayer

STEP = 1e-30
"""Of a complex step, whose square is lost: the derivative is exact to rounding."""


def tangent(x, gamma, eps, outside, tx, tgamma, tbeta):
    """ty by the chain rule, of rows that may be complex."""
    d, a = x - x.mean(0), tx - tx.mean(0)
    var, t_var = (d * d).mean(0), 2 * (a * d).mean(0)
    std = np.sqrt(var) + eps if outside else np.sqrt(var + eps)
    t_std = t_var / (2 * (std - eps)) if outside else t_var / (2 * std)
    return gamma * (a / std - d * t_std / std**2) + tgamma * d / std + tbeta


@pytest.mark.parametrize("eps_at", ["inside_sqrt", "outside_sqrt"])
def test_the_second_derivative_along_dy_is_dx2(eps_at):
    rng = np.random.default_rng(0)
    conventions = replace(PRESETS["d2l"], eps_at=eps_at)
    layer = ReferenceLayer(3, 1e-2, 0.9, conventions, np.float64)
    layer.gamma = rng.uniform(0.5, 2.0, 3)
    x, dy, ddx = (rng.normal(size=(7, 3)) for _ in range(3))
    ddgamma, ddbeta = rng.normal(size=3), rng.normal(size=3)
    dx2, ddy, dgamma2 = layer.train_double(x, dy, ddx, ddgamma, ddbeta)

    def along(x, gamma):
        return tangent(x, gamma, 1e-2, eps_at == "outside_sqrt", ddx, ddgamma, ddbeta)

    np.testing.assert_allclose(along(x, layer.gamma), ddy, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(along(x + 1j * STEP * dy, layer.gamma).imag / STEP, dx2, rtol=1e-11, atol=1e-12)
    by_gamma = along(x, layer.gamma + 1j * STEP).imag / STEP
    np.testing.assert_allclose((dy * by_gamma).sum(0), dgamma2, rtol=1e-11, atol=1e-12)
