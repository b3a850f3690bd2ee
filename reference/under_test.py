"""The NumPy reference behind the contract of an implementation under test: the target `numpy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.batch_norm import BatchNorm
from reference.conventions import D2L


class NumpyBatchNorm:
    """`reference.batch_norm.BatchNorm` in the dtype of gamma, channels on axis 1."""

    conventions = "d2l"
    summation = "pairwise_in_order"
    """`add_in_pairs` makes every sum, over rows that `to_rows` puts in the same order whatever the rank and layout."""

    def __init__(self, setup: Any) -> None:
        layer = BatchNorm(setup.num_features, setup.eps, setup.momentum, D2L, setup.gamma.dtype)
        layer.gamma, layer.beta = setup.gamma, setup.beta
        layer.average_mean, layer.average_var = setup.moving_mean, setup.moving_var
        self.layer = layer

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        y, cache = self.layer.train(x)
        dx, dgamma, dbeta = self.layer.train_backward(dy, cache)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def train_no_grad(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": self.layer.train(x)[0]}

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        y, cache = self.layer.eval(x)
        dx, dgamma, dbeta = self.layer.eval_backward(dy, cache)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def stats(self) -> dict[str, np.ndarray]:
        return {"moving_mean": self.layer.moving_mean, "moving_var": self.layer.moving_var}

    def state(self) -> dict[str, Any]:
        return dict(vars(self.layer))

    def load_state(self, state: dict[str, Any]) -> None:
        vars(self.layer).update(state)
