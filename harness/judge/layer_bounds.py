"""How far a layer may be from the exact values in one session: by step, and what rounding leaves in its averages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.judge.fast_variance import fast_variance_error, lose_channels
from harness.judge.kept_bounds import kept_train_bounds
from harness.judge.oracle import OracleLayer
from reference.error_bounds import Precision, eval_bounds, moving_bound
from reference.fold_bounds import FoldParameters, folded_bounds
from reference.option_bounds import with_divided_weights
from reference.rescaled_bounds import rescaled_eval_bounds, rescaled_train_bounds

Bounds = dict[str, np.ndarray]
"""Bounds by observable: of y and dx in x's shape or as (n, C) rows, of the rest (C,)."""


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of the implementation whose errors are bounded: that it is honest, unless a flag is set."""

    precision: Precision
    fast_variance: bool = False
    any_mode: bool = False
    """It may take one mode for the other: the bounds are the wider of both."""
    summation: str = "any"
    """How the implementation says that it sums: one of SUMMATIONS."""
    folded: bool = False
    """Whether it says that it predicts by a scale and a shift which were made beforehand, each with its roundings."""
    rescaled: bool = False
    """Whether it says that x is multiplied by gamma/sqrt(moving_var + eps) and divided by it before, as in `qat`."""
    kept: Precision | None = None
    """The type, as of x, to which moving averages are rounded whenever they are kept. None: that of the arithmetic."""


class LayerBounds:
    """Bounds that grow with the session: an error in the moving averages is carried from step to step."""

    def __init__(self, layer: OracleLayer, assumed: Assumptions) -> None:
        self.layer = layer
        self.assumed = assumed
        self.mean_error: Any = self._of_keeping(layer.average_mean)
        self.var_error: Any = self._of_keeping(layer.average_var)

    def of_training(self, rows: np.ndarray, dy_rows: np.ndarray) -> Bounds:
        """Those of the training step that the oracle is about to make on (n, C) rows, which moves the averages."""
        layer, precision = self.layer, self.assumed.precision
        fast = self.assumed.fast_variance
        extra = fast_variance_error(rows, precision) if fast else np.zeros(layer.num_features)
        if self.assumed.rescaled and len(rows):
            bounds = rescaled_train_bounds(rows, dy_rows, self._parameters(self.of_moving_statistics()), precision)
        else:
            bounds = kept_train_bounds(rows, dy_rows, layer, precision, extra, self.assumed.summation)
        if fast and len(rows):
            lose_channels(bounds, extra >= layer.batch_statistics(rows)[1] + layer.eps)
        if len(rows):  # an empty batch moves nothing
            self._carry(rows, bounds)
        return bounds

    def of_prediction(self, rows: np.ndarray, dy_rows: np.ndarray, moving: Bounds) -> Bounds:
        """Those of a prediction, where the statistics may be `moving` away from the oracle's."""
        layer = self.layer
        if self.assumed.rescaled and len(rows):
            bounds = rescaled_eval_bounds(rows, dy_rows, self._parameters(moving), self.assumed.precision)
        else:
            bounds = self._of_own_prediction(rows, dy_rows, moving)
            if self.assumed.folded and len(rows):
                of_fold = self._of_fold(rows, dy_rows, moving)
                bounds |= {name: np.maximum(bounds[name], bound) for name, bound in of_fold}
        lose_channels(bounds, moving["moving_var"] > np.asarray(layer.moving_var, np.float64) + layer.eps)
        return bounds

    def _of_own_prediction(self, rows: np.ndarray, dy_rows: np.ndarray, moving: Bounds) -> Bounds:
        layer = self.layer
        return eval_bounds(
            rows,
            dy_rows,
            layer.gamma,
            layer.beta,
            layer.moving_mean,
            layer.moving_var,
            layer.eps,
            self.assumed.precision,
            moving_mean_bound=moving["moving_mean"],
            moving_var_bound=moving["moving_var"],
            eps_at=layer.conventions.eps_at,
            summation=self.assumed.summation,
        )

    def _of_fold(self, rows: np.ndarray, dy_rows: np.ndarray, moving: Bounds) -> Iterable[tuple[str, np.ndarray]]:
        return folded_bounds(rows, dy_rows, self._parameters(moving), self.assumed.precision).items()

    def _parameters(self, moving: Bounds) -> FoldParameters:
        layer = self.layer
        return FoldParameters(
            layer.gamma,
            layer.beta,
            layer.moving_mean,
            layer.moving_var,
            layer.eps,
            layer.conventions.eps_at,
            moving["moving_mean"],
            moving["moving_var"],
        )

    def of_moving_statistics(self) -> Bounds:
        """Those of the moving statistics as they are shown: debiasing divides the error as well, and rounds."""
        layer, precision = self.layer, self.assumed.precision
        shape = layer.gamma.shape
        mean, var = np.broadcast_to(self.mean_error, shape), np.broadcast_to(self.var_error, shape)
        if layer.conventions.debias and layer.updates > 0 and not layer.cumulative:
            keep, t = np.float64(layer.weights()[0]), layer.updates  # of NumPy: a weight of 1 divides by zero
            share = 1 - keep**t
            # keep^t: t roundings of the weight, t of the products; then 1 - ., and the division.
            rounding = precision.work * (2 * t * keep**t / share + 4)
            mean = mean / share + rounding * np.abs(layer.moving_mean).astype(np.float64)
            var = var / share + rounding * np.abs(layer.moving_var).astype(np.float64)
        return {"moving_mean": mean, "moving_var": var}

    def _carry(self, rows: np.ndarray, bounds: Bounds) -> None:
        """What the coming update adds to the error of the moving averages."""
        layer, precision = self.layer, self.assumed.precision
        n = len(rows)
        keep, new = (float(weight) for weight in layer.weights())
        mean, var = layer.batch_statistics(rows)
        var_bound = bounds["var"]
        if layer.conventions.moving_var == "unbiased" and n > 1:
            bessel = n / (n - 1)
            var_bound = bessel * (var_bound + 4 * precision.work * (np.asarray(var, np.float64) + var_bound))
            var = var * bessel
        if layer.cumulative:
            precision = with_divided_weights(precision)
        self.mean_error = moving_bound(self.mean_error, layer.average_mean, mean, bounds["mean"], keep, new, precision)
        self.var_error = moving_bound(self.var_error, layer.average_var, var, var_bound, keep, new, precision)
        if self.assumed.kept is not None:
            self.mean_error += self._of_keeping(keep * layer.average_mean + new * mean, self.mean_error)
            self.var_error += self._of_keeping(keep * layer.average_var + new * var, self.var_error)

    def _of_keeping(self, average: np.ndarray, error: Any = 0.0) -> Any:
        """What is added to the error of an average where that is rounded to be kept."""
        kept = self.assumed.kept
        if kept is None:
            return 0.0
        return kept.io * (np.abs(average).astype(np.float64) + error) + kept.io_tiny
