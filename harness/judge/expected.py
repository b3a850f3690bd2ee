"""What is expected of each step of a script: the oracle's values, and how far honest rounding may be from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.cases.case import Script, Step
from harness.judge.layer_bounds import Assumptions, Bounds
from harness.judge.oracle import OracleLayer
from harness.judge.session_bounds import SessionBounds
from reference.batch_norm import from_rows, to_rows
from reference.conventions import Conventions
from reference.error_bounds import Precision, precision_of
from reference.oracle_error import Shares


@dataclass(eq=False)
class Expected:
    """Values and bounds of one step by observable; or, with `raises`, that the step must be refused.

    Equal to itself alone.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=dict)
    raises: bool = False
    shares: dict[str, Shares] = field(default_factory=dict)
    """What of the bounds is the oracle's own error, and what pays for evaluating them in float64."""
    undeclared: bool = False
    """Whether the layer has trained on one value per channel, and nobody declares what comes of that."""


def expect(
    script: Script,
    conventions: Conventions,
    *,
    precision: Precision | None = None,
    fast_variance: bool = False,
    any_mode: bool = False,
    summation: str = "any",
) -> list[Expected]:
    """What is expected of each step under `conventions`. Raises NoOracleError (see `oracle_dtype`).

    The bounds are an honest implementation's, which may say how it sums. Diagnosis asks for wider ones: those of an
    implementation that works in another `precision`, that computes the variance as E[x^2] - E[x]^2, or that may take
    one mode for the other.
    """
    precision = precision or precision_of(script.setups[0].dtype)
    assumed = Assumptions(precision, fast_variance, any_mode, summation)
    layers = [OracleLayer.from_setup(setup, conventions) for setup in script.setups]
    bounds = [SessionBounds(layer, assumed) for layer in layers]
    expected: list[Expected] = []
    undeclared: set[int] = set()
    with np.errstate(all="ignore"):
        for step in script.steps:
            expected.append(_expect_step(layers[step.session], bounds[step.session], step))
            if step.x is not None and step.op.startswith("train") and step.x.size == step.x.shape[1]:
                undeclared |= {step.session} if conventions.single_value == "any" else set()
            expected[-1].undeclared = step.session in undeclared
            if expected[-1].raises:
                break
    return expected


def _expect_step(layer: OracleLayer, bounds: SessionBounds, step: Step) -> Expected:
    if step.restores:
        values = layer.play(step)
        return Expected(values, bounds.of_moving_statistics(), shares=bounds.shares_of(values))
    assert step.x is not None
    assert step.dy is not None
    rows = to_rows(step.x.astype(layer.gamma.dtype), 1)
    dy_rows = to_rows(step.dy.astype(layer.gamma.dtype), 1)
    if step.op != "eval" and len(rows) == 1 and layer.conventions.single_value == "error":
        return Expected(raises=True)
    of_step = bounds.of_step(step.op, rows, dy_rows)  # before the step moves the averages that they depend on
    values = layer.play(step)
    of_all = _shaped(of_step, step.x.shape) | bounds.of_moving_statistics()
    return Expected(values, of_all, shares=bounds.shares_of(values))


def _shaped(bounds: Bounds, shape: tuple[int, ...]) -> Bounds:
    """y and dx back from (n, C) rows to x's shape; the bounds of the batch's own statistics are not observables."""
    like_x = {name: from_rows(bounds[name], shape, 1) for name in ("y", "dx")}
    return like_x | {name: bounds[name] for name in ("dgamma", "dbeta")}
