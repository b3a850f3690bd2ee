"""Batch norm in balls: each number is an interval that holds the exact one, by FLINT's arb with 256 bits.

Written out plainly and on its own: channel by channel, value by value, the gradient by the derivative of the scale by
the variance. Nothing is taken from the reference but its conventions.
"""

from __future__ import annotations

from typing import Any

import flint

from harness.cases.script import Setup, Step
from reference.conventions import Conventions

arb = flint.arb
BITS = 256
Ball = Any
Values = dict[str, list[Ball]]
"""By observable: of y and dx a ball for each value, of the others one."""


def ball(number: Any) -> Ball:
    """An exact float, of up to four times the digits of float64."""
    total = arb(0)
    for _ in range(4):
        part = float(number)
        total += arb(part)
        number = number - type(number)(part)
        if number == 0:
            break
    return total


class Channel:
    """One channel of a session."""

    def __init__(self, setup: Setup, index: int, conventions: Conventions) -> None:
        flint.ctx.prec = BITS
        self.conventions = conventions
        self.eps = arb(setup.eps)
        self.gamma, self.beta = arb(float(setup.gamma[index])), arb(float(setup.beta[index]))
        self.mean, self.var = arb(float(setup.moving_mean[index])), arb(float(setup.moving_var[index]))
        momentum = arb(setup.momentum)
        self.keep = momentum if conventions.momentum == "keep" else 1 - momentum
        self.updates = 0

    def play(self, step: Step, index: int) -> Values:
        """What a step gives, the moving statistics after it included."""
        values: Values = {}
        if not step.restores:
            assert step.x is not None
            assert step.dy is not None
            x, dy = ([arb(float(v)) for v in a[:, index].ravel()] for a in (step.x, step.dy))
            values = self.predict(x, dy) if step.op == "eval" else self.train(x, dy)
        if step.op == "train_no_grad":
            values = {"y": values["y"]}
        shown = 1 - self.keep**self.updates if self.conventions.debias and self.updates else arb(1)
        return values | {"moving_mean": [self.mean / shown], "moving_var": [self.var / shown]}

    def predict(self, x: list[Ball], dy: list[Ball]) -> Values:
        shown = 1 - self.keep**self.updates if self.conventions.debias and self.updates else arb(1)
        mean, scale = self.mean / shown, 1 / self.denominator(self.var / shown)
        xh = [(v - mean) * scale for v in x]
        return {
            "y": [self.gamma * v + self.beta for v in xh],
            "dx": [self.gamma * scale * g for g in dy],
            "dgamma": [inner(dy, xh)],
            "dbeta": [sum(dy, arb(0))],
        }

    def train(self, x: list[Ball], dy: list[Ball]) -> Values:
        n = len(x)
        if n == 0:
            return {"y": [], "dx": [], "dgamma": [arb(0)], "dbeta": [arb(0)]}
        total = sum(x, arb(0))
        d = [(n * v - total) / n for v in x]  # n x - sum is exact, and 0 where x is constant
        var = inner(d, d) / n
        self.update(total / n, var, n)
        scale, dbeta, along = 1 / self.denominator(var), sum(dy, arb(0)), inner(dy, d)
        steepness = arb(0) if var == 0 else 2 * self.slope(var) * along / n
        return {
            "y": [self.gamma * v * scale + self.beta for v in d],
            "dx": [self.gamma * (scale * (g - dbeta / n) + steepness * v) for g, v in zip(dy, d, strict=True)],
            "dgamma": [along * scale],
            "dbeta": [dbeta],
        }

    def denominator(self, var: Ball) -> Ball:
        return (var + self.eps).sqrt() if self.conventions.eps_at == "inside_sqrt" else var.sqrt() + self.eps

    def slope(self, var: Ball) -> Ball:
        """The derivative of 1/denominator by var."""
        root = self.denominator(var)
        inner_root = root if self.conventions.eps_at == "inside_sqrt" else var.sqrt()
        return -1 / (2 * inner_root * root * root)

    def update(self, mean: Ball, var: Ball, n: int) -> None:
        if self.conventions.moving_var == "unbiased":
            var = var * n / (n - 1) if n > 1 else arb("nan")
        self.mean = self.keep * self.mean + (1 - self.keep) * mean
        self.var = self.keep * self.var + (1 - self.keep) * var
        self.updates += 1


def inner(a: list[Ball], b: list[Ball]) -> Ball:
    return sum((v * w for v, w in zip(a, b, strict=True)), arb(0))
