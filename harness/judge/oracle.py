"""The oracle: the reference in extended precision, as a session that plays the steps of a script."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from harness.cases.case import Setup, Step
from reference.conventions import Conventions
from reference.second_derivatives import TwiceDifferentiable

LONGDOUBLE_IS_WIDER = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant


class NoOracleError(Exception):
    """This machine has no floating-point type wide enough to judge the dtype."""


def oracle_dtype(dtype: str) -> np.dtype:
    """The type in which a target of `dtype` is judged: float64 for float32 and 16 bits, longdouble for float64.

    On Windows and Apple silicon longdouble is float64, and quadruple precision takes its place. Raises NoOracleError
    where numpy_quaddtype, which provides that, is missing.
    """
    if dtype != "float64":
        return np.dtype(np.float64)
    if LONGDOUBLE_IS_WIDER:
        return np.dtype(np.longdouble)
    try:
        from numpy_quaddtype import QuadPrecDType
    except ImportError as error:
        raise NoOracleError(
            "float64 needs an oracle of more than 53 bits, and longdouble has no more here: pip install numpy_quaddtype"
        ) from error
    return QuadPrecDType()


class OracleLayer(TwiceDifferentiable):
    """The reference as a session: what each operation of a script returns. Known mistakes are subclasses."""

    playing = "train"
    """The mode of the current step, "train" or "eval": for mistakes that are made in one mode only."""
    restoring: Step | None = None
    """The step in which the layer's state is loaded."""
    acts_through: tuple[str, ...] = ()
    """For a mistake that changes nothing by itself: the ids of those beside which it shows."""
    alone = False
    """For a mistake that is never tried as one of two: there are many such variants, and pairs go by the square."""

    @classmethod
    def from_setup(cls, setup: Setup, conventions: Conventions) -> OracleLayer:
        wide = oracle_dtype(setup.dtype)
        momentum = conventions.default_momentum if setup.momentum is None else setup.momentum
        layer = cls(setup.num_features, setup.eps, momentum, replace(conventions, channel_axis=1), wide)
        layer.gamma, layer.beta = setup.gamma.astype(wide), setup.beta.astype(wide)
        layer.average_mean, layer.average_var = setup.moving_mean.astype(wide), setup.moving_var.astype(wide)
        return layer

    def total(self, rows: np.ndarray) -> np.ndarray:
        """In extended precision the order of a sum costs nothing that matters; this one is faster on few rows."""
        return np.asarray(rows.sum(axis=0))

    def train_step(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        y, cache = self.train(x)
        dx, dgamma, dbeta = self.train_backward(dy, cache)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def eval_step(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        y, cache = self.eval(x)
        dx, dgamma, dbeta = self.eval_backward(dy, cache)
        return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}

    def train_no_grad_step(self, x: np.ndarray) -> dict[str, np.ndarray]:
        y, _ = self.train(x)
        return {"y": y}

    def train_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super().train_backward(dy, cache) if dy.size else self._nothing(dy)

    def eval_backward(self, dy: np.ndarray, cache: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super().eval_backward(dy, cache) if dy.size else self._nothing(dy)

    def _nothing(self, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of an empty batch; numpy_quaddtype has no sum of nothing."""
        return dy, np.zeros_like(self.beta), np.zeros_like(self.beta)  # dy's shape, (C,), (C,)

    def restore(self) -> None:
        """Saving and restoring changes nothing in a layer that does it right."""

    def loaded_into(self) -> Self:
        """The object that the state of this one is being loaded into, before it is: what is not loaded is its own."""
        other = type(self)(self.num_features, self.eps, self.momentum, self.conventions, self.gamma.dtype)
        step = self.restoring
        if step is not None and step.op == "restore_used":
            assert step.x is not None
            assert step.dy is not None
            other.train_step(step.x.astype(self.gamma.dtype), step.dy.astype(self.gamma.dtype))
        return other

    def play(self, step: Step) -> dict[str, np.ndarray]:
        """{observable: values} of one step, the moving statistics after it included."""
        values: dict[str, np.ndarray] = {}
        if step.restores:
            self.restoring = step
            self.restore()
        else:
            assert step.x is not None
            assert step.dy is not None
            self.playing = "eval" if step.op == "eval" else "train"
            x, dy = step.x.astype(self.gamma.dtype), step.dy.astype(self.gamma.dtype)
            if step.op == "train_no_grad":
                values = self.train_no_grad_step(x)
            else:
                values = self.train_step(x, dy) if step.op == "train" else self.eval_step(x, dy)
        return values | {"moving_mean": self.moving_mean, "moving_var": self.moving_var}
