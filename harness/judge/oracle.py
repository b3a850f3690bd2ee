"""The oracle: the reference in extended precision, as a session that plays the steps of a script."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Self

import numpy as np

from harness.cases.case import Setup, Step
from harness.cases.script import FROZEN
from harness.observables import DERIVATIVES, LIKE_X, STATISTICS
from reference.batch_norm import from_rows, to_rows
from reference.conventions import Conventions
from reference.second_derivatives import TwiceDifferentiable

LONGDOUBLE_IS_WIDER = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant


def absent_observables(setup: Setup) -> tuple[str, ...]:
    """Those of a layer that is built without gamma, beta or moving statistics."""
    pairs = [("dgamma", setup.gamma), ("dbeta", setup.beta), *((name, getattr(setup, name)) for name in STATISTICS)]
    return tuple(name for name, array in pairs if array is None)


def counting_rows(step: Step) -> np.ndarray:
    """(rows,) booleans: which of x's rows, as `to_rows` puts them, a mask counts."""
    assert step.x is not None
    assert step.mask is not None
    return np.broadcast_to(step.mask, (step.x.shape[0], *step.x.shape[2:])).ravel()


def spread(rows: np.ndarray, counts: np.ndarray, shape: tuple[int, ...], fill: np.ndarray | float = 0.0) -> np.ndarray:
    """Rows (n, C) of the elements that count -> an array of `shape`; elsewhere it holds `fill`, a number or (C,)."""
    whole = np.empty((len(counts), shape[1]), rows.dtype)
    whole[:] = fill
    whole[counts] = rows
    return from_rows(whole, shape, 1)


@cache
def with_channels_second(conventions: Conventions) -> Conventions:
    """As the oracle takes its input, wherever a target has its channels."""
    return replace(conventions, channel_axis=1)


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
    absent: tuple[str, ...] = ()
    """The observables that there are not, since the layer is built without what they belong to."""
    cumulative = False
    """Whether the moving statistics are the plain average over all batches."""

    @classmethod
    def from_setup(cls, setup: Setup, conventions: Conventions) -> OracleLayer:
        wide = oracle_dtype(setup.dtype)
        momentum = conventions.default_momentum if setup.momentum is None else setup.momentum
        layer = cls(setup.num_features, setup.eps, momentum, with_channels_second(conventions), wide)
        layer.cumulative = setup.cumulative
        if setup.gamma is not None:
            layer.gamma = setup.gamma.astype(wide)
        if setup.beta is not None:
            layer.beta = setup.beta.astype(wide)
        if setup.moving_mean is not None and setup.moving_var is not None:
            layer.average_mean, layer.average_var = setup.moving_mean.astype(wide), setup.moving_var.astype(wide)
        layer.absent = absent_observables(setup)
        return layer

    @property
    def keeps_statistics(self) -> bool:
        return not set(STATISTICS) & set(self.absent)

    def weights(self) -> tuple[np.floating, np.floating]:
        if not self.cumulative:
            return super().weights()
        one = self.average_mean.dtype.type(1)
        new = one / one.dtype.type(self.updates + 1)  # the t-th of t batches weighs 1/t
        return one - new, new

    def total(self, rows: np.ndarray) -> np.ndarray:
        """In extended precision the order of a sum costs nothing that matters; this one is faster on few rows."""
        return np.asarray(np.add.reduce(rows, axis=0))  # (C,), which rows.sum is a slower way to

    def debiased(self, average: np.ndarray) -> np.ndarray:
        """A plain average over all batches has no start to be freed of."""
        return average if self.cumulative else super().debiased(average)

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

    def derivative_step(self, step: Step, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """What forward mode or differentiating twice gives. The moving statistics stay, and are not given."""
        assert step.directions is not None
        of = step.directions
        directions = [array.astype(self.gamma.dtype) for array in (of.x, of.gamma, of.beta)]
        derive = getattr(self, step.op)
        given = (derive(x, *directions),) if step.op.endswith("jvp") else derive(x, dy, *directions)
        return dict(zip(DERIVATIVES[step.op], given, strict=True))

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
        other.cumulative, other.absent = self.cumulative, self.absent
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
            self.playing = "train" if step.trains else "eval"
            x, dy = step.x.astype(self.gamma.dtype), step.dy.astype(self.gamma.dtype)
            if step.directions is not None:
                return self.derivative_step(step, x, dy)
            if step.mask is not None:
                values = self.masked_step(step, x, dy)
            elif step.op == "train_no_grad":
                values = self.train_no_grad_step(x)
            else:
                values = self.ordinary_step(step, x, dy)
        values |= {"moving_mean": self.moving_mean, "moving_var": self.moving_var}
        return {name: value for name, value in values.items() if name not in self.absent}

    def ordinary_step(self, step: Step, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """Without moving statistics prediction normalizes by the batch's own, as training does."""
        if step.op == FROZEN:
            return self.frozen_step(x, dy)
        return self.train_step(x, dy) if step.trains or not self.keeps_statistics else self.eval_step(x, dy)

    def frozen_step(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """A training step of the model around a frozen layer: prediction, the gradients included."""
        return self.eval_step(x, dy)

    def masked_step(self, step: Step, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """That of a batch of the elements that count, alone: (n, C) with n of them a channel.

        What y is elsewhere is nobody's to say: 0 stands there. dy is 0 there, and so is dx.
        """
        counts = counting_rows(step)  # (rows,)
        self.conventions = replace(self.conventions, single_value="any")  # one that a mask leaves is not refused
        inside = self.ordinary_step(step, to_rows(x, 1)[counts], to_rows(dy, 1)[counts])
        return {name: spread(value, counts, x.shape) if name in LIKE_X else value for name, value in inside.items()}
