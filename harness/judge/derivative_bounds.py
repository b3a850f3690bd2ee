"""The error bounds of forward mode and second derivatives, widened by what the oracle may be off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.cases.script import Step
from harness.judge.fast_variance import fast_variance_error
from harness.judge.layer_bounds import Bounds
from harness.judge.session_bounds import SessionBounds
from harness.observables import DERIVATIVES
from reference.batch_norm import from_rows, to_rows
from reference.oracle_error import OracleError, Shares, unit_of
from reference.second_derivative_bounds import (
    DirectionRows,
    Point,
    eval_derivative_bounds,
    train_derivative_bounds,
)


@dataclass(frozen=True)
class StepBounds:
    """Of one step, by observable: bounds in x's shape or (C,), and what of them is the oracle's own error."""

    bounds: Bounds
    shares: dict[str, Shares]


class DerivativeBounds:
    """Of a session, whose moving statistics may be off by what its earlier steps left."""

    def __init__(self, session: SessionBounds) -> None:
        self.layer, self.assumed = session.layer, session.assumed
        self.moving = session.of_moving_statistics()

    def of_step(self, step: Step, rows: np.ndarray, dy_rows: np.ndarray) -> StepBounds:
        """step: with directions; rows, dy_rows: its x and dy as (n, C), in extended precision."""
        assert step.directions is not None
        assert step.x is not None
        wide, layer = self.layer.gamma.dtype, self.layer
        of = step.directions
        directions = DirectionRows(to_rows(of.x.astype(wide), 1), of.gamma.astype(wide), of.beta.astype(wide))
        point = Point(rows, dy_rows, layer.gamma, layer.beta, layer.eps, layer.conventions.eps_at)
        declared = self._of(step, point, directions, self.assumed.summation)
        in_any_order = declared if self.assumed.summation == "any" else self._of(step, point, directions, "any")
        shares = self._oracle(step, rows, in_any_order)
        names = DERIVATIVES[step.op]
        widened = {name: declared[name] + shares.added(in_any_order[name]) for name in names}
        shaped = {name: b if b.ndim == 1 else from_rows(b, step.x.shape, 1) for name, b in widened.items()}
        return StepBounds(shaped, dict.fromkeys(names, shares))

    def _of(self, step: Step, point: Point, directions: DirectionRows, summation: str) -> Bounds:
        """A derivative is asked for by the name of its mode, which no layer takes for the other."""
        precision = self.assumed.precision
        if step.op.startswith("train"):
            extra = fast_variance_error(point.x, precision) if self.assumed.fast_variance else 0.0
            forward_mode = step.op.endswith("jvp")
            return train_derivative_bounds(point, directions, precision, extra, summation, forward_mode)
        moving = (self.layer.moving_mean, self.layer.moving_var)
        errors = (self.moving["moving_mean"], self.moving["moving_var"])
        return eval_derivative_bounds(point, directions, moving, errors, precision, summation)

    def _oracle(self, step: Step, rows: np.ndarray, in_any_order: Bounds) -> Shares:
        layer = self.layer
        oracle = OracleError(unit_of(layer.gamma.dtype), self.assumed.precision, len(rows))
        if step.op.startswith("train") and len(rows):
            var, error = layer.batch_statistics(rows)[1], in_any_order["var"]
        else:
            var, error = layer.moving_var, self.moving["moving_var"]
        return oracle.with_scale(np.asarray(var, np.float64), error, layer.eps, layer.conventions.eps_at)
