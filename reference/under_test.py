"""The NumPy reference behind the contract of an implementation under test: the target `numpy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference.conventions import D2L
from reference.option_batch_norm import BatchNormWithOptions
from reference.second_derivatives import TwiceDifferentiable

Values = dict[str, np.ndarray]


class ReferenceLayer(BatchNormWithOptions, TwiceDifferentiable):
    """The reference with all that it has."""


class NumpyBatchNorm:
    """`reference.batch_norm.BatchNorm`, its options and its derivatives in the dtype of x, channels on axis 1."""

    conventions = "d2l"
    options = ("no_gamma", "no_beta", "no_statistics", "cumulative")
    masked = True
    transformed_as = "numpy"
    """Whose transformations it can be put through."""
    summation = "pairwise_in_order"
    """`add_in_pairs` makes every sum, over rows that `to_rows` puts in the same order whatever the rank and layout."""

    def __init__(self, setup: Any) -> None:
        dtype = np.float64 if setup.dtype == "float64" else np.float32
        layer = ReferenceLayer(setup.num_features, setup.eps, setup.momentum, D2L, dtype)
        layer.keeps_statistics = setup.moving_mean is not None
        layer.cumulative = getattr(setup, "cumulative", False)
        arrays = {"gamma": setup.gamma, "beta": setup.beta}
        arrays |= {"average_mean": setup.moving_mean, "average_var": setup.moving_var}
        vars(layer).update({name: array for name, array in arrays.items() if array is not None})
        self.layer = layer
        self.absent = [f"d{name}" for name in ("gamma", "beta") if getattr(setup, name) is None]

    def train(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> Values:
        if mask is None:
            y, cache = self.layer.train(x)
            return self._named(y, *self.layer.train_backward(dy, cache))
        y, cache = self.layer.masked_train(x, mask)
        return self._named(y, *self.layer.masked_train_backward(dy, cache))

    def train_no_grad(self, x: np.ndarray) -> Values:
        return {"y": self.layer.train(x)[0]}

    def eval(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> Values:
        if mask is not None and not self.layer.keeps_statistics:
            return self.train(x, dy, mask)
        y, cache = self.layer.eval(x)
        return self._named(y, *self.layer.eval_backward(dy, cache))

    def frozen(self, x: np.ndarray, dy: np.ndarray) -> Values:
        """A training step of a model in which this layer is frozen: no other than prediction."""
        return self.eval(x, dy)

    def train_jvp(self, x: np.ndarray, *tangents: np.ndarray) -> Values:
        return {"ty": self.layer.train_jvp(x, *tangents)}

    def eval_jvp(self, x: np.ndarray, *tangents: np.ndarray) -> Values:
        return {"ty": self.layer.eval_jvp(x, *tangents)}

    def train_double(self, x: np.ndarray, dy: np.ndarray, *directions: np.ndarray) -> Values:
        return _doubled(self.layer.train_double(x, dy, *directions))

    def eval_double(self, x: np.ndarray, dy: np.ndarray, *directions: np.ndarray) -> Values:
        return _doubled(self.layer.eval_double(x, dy, *directions))

    def stats(self) -> Values:
        if not self.layer.keeps_statistics:
            return {}
        return {"moving_mean": self.layer.moving_mean, "moving_var": self.layer.moving_var}

    def state(self) -> dict[str, Any]:
        return dict(vars(self.layer))

    def load_state(self, state: dict[str, Any]) -> None:
        vars(self.layer).update(state)

    def _named(self, *arrays: np.ndarray) -> Values:
        named = zip(("y", "dx", "dgamma", "dbeta"), arrays)  # noqa: B905 - Python 3.9
        return {name: array for name, array in named if name not in self.absent}


def _doubled(arrays: tuple[np.ndarray, ...]) -> Values:
    dx2, ddy, dgamma2 = arrays
    return {"dx2": dx2, "ddy": ddy, "dgamma2": dgamma2}
