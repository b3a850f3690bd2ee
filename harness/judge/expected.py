"""What is expected of each step of a script: the oracle's values, and how far honest rounding may be from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.cases.case import Script, Step
from harness.judge.derivative_bounds import DerivativeBounds
from harness.judge.layer_bounds import Assumptions, Bounds
from harness.judge.oracle import OracleLayer, counting_rows, spread
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
    absent: tuple[str, ...] = ()
    """The observables that there are not, since the layer is built without what they belong to."""


def expect(
    script: Script,
    conventions: Conventions,
    *,
    precision: Precision | None = None,
    fast_variance: bool = False,
    any_mode: bool = False,
    summation: str = "any",
    folded: bool = False,
    rescaled: bool = False,
    kept: Precision | None = None,
) -> list[Expected]:
    """What is expected of each step under `conventions`. Raises NoOracleError (see `oracle_dtype`).

    The bounds are an honest implementation's, which may say how it sums, that it predicts folded into another
    layer, and that it rescales x first. Diagnosis asks for wider ones: those of an implementation that works in another
    `precision`, that computes the variance as E[x^2] - E[x]^2, that may take one mode for the other, or that rounds
    its moving averages to x's type of the precision `kept`.
    """
    precision = precision or precision_of(script.setups[0].dtype)
    if summation == "pairwise_in_order" and any(step.mask is not None for step in script.steps):
        summation = "pairwise"  # zeros stand between what is added: the same depth, other pairs
    assumed = Assumptions(precision, fast_variance, any_mode, summation, folded, rescaled, kept)
    layers = [OracleLayer.from_setup(setup, conventions) for setup in script.setups]
    bounds = [SessionBounds(layer, assumed) for layer in layers]
    expected: list[Expected] = []
    undeclared: set[int] = set()
    with np.errstate(all="ignore"):
        for step in script.steps:
            expected.append(_expect_step(layers[step.session], bounds[step.session], step))
            if step.x is not None and step.trains and step.values_per_channel == 1:
                undeclared |= {step.session} if single_value_is_open(step, conventions) else set()
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
    if step.trains and step.mask is None and len(rows) == 1 and layer.conventions.single_value == "error":
        return Expected(raises=True)
    if step.directions is not None:
        of_derivatives = DerivativeBounds(bounds).of_step(step, rows, dy_rows)
        return Expected(layer.play(step), of_derivatives.bounds, shares=of_derivatives.shares)
    counts = None if step.mask is None else counting_rows(step)
    if counts is not None:
        rows, dy_rows = rows[counts], dy_rows[counts]
    by_batch = step.trains or not layer.keeps_statistics
    of_step = bounds.of_step(by_batch, rows, dy_rows)  # before the step moves the averages that they depend on
    values = layer.play(step)
    of_all = _shaped(of_step, step.x.shape, counts) | bounds.of_moving_statistics()
    of_given = {name: bound for name, bound in of_all.items() if name in values}
    return Expected(values, of_given, shares=bounds.shares_of(values), absent=layer.absent)


def single_value_is_open(step: Step, conventions: Conventions) -> bool:
    """Whether nobody declares what comes of one value per channel. Refusing one is not declared of one under a mask."""
    return conventions.single_value == "any" or (step.mask is not None and conventions.single_value == "error")


def _shaped(bounds: Bounds, shape: tuple[int, ...], counts: np.ndarray | None) -> Bounds:
    """y and dx back from (n, C) rows to x's shape; the bounds of the batch's own statistics are not observables.

    Where a mask counts nothing, y is not compared; dx is 0 there, and is held to the narrowest bound of its channel.
    """
    if counts is None:
        like_x = {name: from_rows(bounds[name], shape, 1) for name in ("y", "dx")}
    else:
        narrowest = bounds["dx"].min(axis=0, initial=np.inf)  # (C,)
        fills: Bounds = {"y": np.array(np.inf), "dx": np.where(np.isfinite(narrowest), narrowest, 0.0)}
        like_x = {name: spread(bounds[name], counts, shape, fill) for name, fill in fills.items()}
    return like_x | {name: bounds[name] for name in ("dgamma", "dbeta")}
