"""The error bounds of one session: how far a layer may be from the oracle, which rounds too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from harness.judge.layer_bounds import Assumptions, Bounds, LayerBounds
from harness.judge.oracle import OracleLayer
from reference.oracle_error import OracleError, Shares, unit_of


class SessionBounds:
    """The bounds of a layer, widened by what the oracle may be off and by the rounding of the bounds themselves.

    Both are shares of the bounds of sums in any order, which are evaluated beside those of sums that are declared.
    """

    def __init__(self, layer: OracleLayer, assumed: Assumptions) -> None:
        self.layer = layer
        self.assumed = assumed
        self.of_layer = LayerBounds(layer, assumed)
        declares = assumed.summation != "any"
        self.of_any_order = LayerBounds(layer, replace(assumed, summation="any")) if declares else self.of_layer
        self.step_shares: dict[str, Shares] = {}
        self.moving_shares = self._oracle(1).without_scale()

    def of_step(self, by_batch: bool, rows: np.ndarray, dy_rows: np.ndarray) -> Bounds:
        """The bounds of the step that the oracle is about to make on x, dy as (n, C) rows.

        by_batch: whether it normalizes by the batch's own statistics.
        """
        any_mode = self.assumed.any_mode
        bounds: Bounds = {}
        if by_batch or any_mode:
            bounds = self._of_training(rows, dy_rows)
        if not by_batch or any_mode:
            in_prediction = self._of_prediction(rows, dy_rows)
            bounds = {name: np.fmax(bounds.get(name, 0.0), bound) for name, bound in in_prediction.items()}
        return bounds

    def of_moving_statistics(self) -> Bounds:
        """The bounds of the moving statistics as they are shown."""
        shares = dict.fromkeys(("moving_mean", "moving_var"), self.moving_shares)
        return _widened(self.of_layer.of_moving_statistics(), self.of_any_order.of_moving_statistics(), shares)

    def shares_of(self, observables: Iterable[str]) -> dict[str, Shares]:
        """Of the bounds last given: what was added, in units of those of sums in any order."""
        return {name: self.step_shares.get(name, self.moving_shares) for name in observables}

    def _oracle(self, n: int) -> OracleError:
        return OracleError(unit_of(self.layer.gamma.dtype), self.assumed.precision, n)

    def _of_training(self, rows: np.ndarray, dy_rows: np.ndarray) -> Bounds:
        bounds = in_any_order = self.of_layer.of_training(rows, dy_rows)
        if self.of_any_order is not self.of_layer:
            in_any_order = self.of_any_order.of_training(rows, dy_rows)
        if not len(rows):  # an empty batch has no statistics
            return bounds
        oracle, var = self._oracle(len(rows)), self.layer.batch_statistics(rows)[1]
        self.moving_shares = self.moving_shares.or_greater(oracle.without_scale())
        return self._with_oracle(bounds, in_any_order, oracle, var, in_any_order["var"])

    def _of_prediction(self, rows: np.ndarray, dy_rows: np.ndarray) -> Bounds:
        moving = self.of_moving_statistics()
        bounds = in_any_order = self.of_layer.of_prediction(rows, dy_rows, moving)
        if self.of_any_order is not self.of_layer:
            in_any_order = self.of_any_order.of_prediction(rows, dy_rows, moving)
        return self._with_oracle(
            bounds, in_any_order, self._oracle(len(rows)), self.layer.moving_var, moving["moving_var"]
        )

    def _with_oracle(
        self, bounds: Bounds, in_any_order: Bounds, oracle: OracleError, var: np.ndarray, var_error: np.ndarray
    ) -> Bounds:
        """bounds with what the oracle, and evaluating them, add; var: what y is scaled by, and its bound."""
        layer = self.layer
        scale = oracle.with_scale(np.asarray(var, np.float64), var_error, layer.eps, layer.conventions.eps_at)
        self.step_shares = dict.fromkeys(("y", "dx", "dgamma"), scale) | {"dbeta": oracle.without_scale()}
        return _widened(bounds, in_any_order, self.step_shares)


def _widened(bounds: Bounds, in_any_order: Bounds, shares: dict[str, Shares]) -> Bounds:
    """A bound of 0 says that nothing rounds, in whatever order: with more digits nothing does either."""
    added = {name: np.where(bounds[name] == 0, 0.0, share.added(in_any_order[name])) for name, share in shares.items()}
    return {name: bounds[name] + of_oracle for name, of_oracle in added.items()}
