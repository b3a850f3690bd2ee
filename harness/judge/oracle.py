"""What a batch norm owes: the reference in extended precision on a script's own inputs, with its error bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.cases.case import Script, Setup, Step
from reference.batch_norm import BatchNorm, from_rows, to_rows
from reference.conventions import Conventions
from reference.error_bounds import Precision, eval_bounds, moving_bound, precision_of, train_bounds

LONGDOUBLE_IS_WIDER = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant


class NoOracleError(Exception):
    """This machine has no type that is wide enough to judge the dtype."""


def oracle_dtype(dtype: str) -> np.dtype:
    """float64 judges float32 and 16 bits; longdouble judges float64, or quadruple precision where that is no wider.

    Windows and Apple silicon have no wide longdouble. Raises NoOracleError where numpy_quaddtype is missing as well.
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


class OracleLayer(BatchNorm):
    """The reference as a session: what each operation of a script returns. Known mistakes are subclasses."""

    playing = "train"  # or "eval": the mode of the step at hand, for mistakes that are made in one of them
    acts_through: tuple[str, ...] = ()  # of a mistake that shows nowhere by itself: the ids beside which it may

    @classmethod
    def from_setup(cls, setup: Setup, conventions: Conventions) -> OracleLayer:
        wide = oracle_dtype(setup.dtype)
        momentum = conventions.default_momentum if setup.momentum is None else setup.momentum
        layer = cls(setup.num_features, setup.eps, momentum, replace(conventions, channel_axis=1), wide)
        layer.gamma, layer.beta = setup.gamma.astype(wide), setup.beta.astype(wide)
        layer.average_mean, layer.average_var = setup.moving_mean.astype(wide), setup.moving_var.astype(wide)
        return layer

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
        """A layer built anew and given the saved state goes on as this one would."""

    def play(self, step: Step) -> dict[str, np.ndarray]:
        """Play one step; the moving statistics that it leaves are among what is returned."""
        values: dict[str, np.ndarray] = {}
        if step.op == "restore":
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


@dataclass
class Expected:
    """One step's truth: values and bounds by observable; or that the step must be refused."""

    values: dict[str, np.ndarray] = field(default_factory=dict)
    bounds: dict[str, np.ndarray] = field(default_factory=dict)
    raises: bool = False


@dataclass
class _Carried:
    """The error that honest rounding may have left in the moving averages so far."""

    mean: Any = 0.0
    var: Any = 0.0


def expect(
    script: Script,
    conventions: Conventions,
    *,
    precision: Precision | None = None,
    fast_variance: bool = False,
    any_mode: bool = False,
) -> list[Expected]:
    """The truth of each step of a script under `conventions`. Raises NoOracleError (see `oracle_dtype`).

    The bounds are an honest implementation's; for the diagnosis, those of one that works in another `precision`,
    whose variance is E[x^2] - E[x]^2, or that may take one mode for the other (`any_mode`).
    """
    precision = precision or precision_of(script.setups[0].dtype)
    layers = [OracleLayer.from_setup(setup, conventions) for setup in script.setups]
    carried = [_Carried() for _ in layers]
    expected = []
    with np.errstate(all="ignore"):
        for step in script.steps:
            one = _expect_step(layers[step.session], carried[step.session], step, precision, fast_variance, any_mode)
            expected.append(one)
            if one.raises:
                break
    return expected


def _expect_step(
    layer: OracleLayer, carried: _Carried, step: Step, precision: Precision, fast_variance: bool, any_mode: bool
) -> Expected:
    if step.op == "restore":
        values = layer.play(step)
        return Expected(values, _moving_bounds(layer, carried, precision))
    assert step.x is not None
    assert step.dy is not None
    rows = to_rows(step.x.astype(layer.gamma.dtype), 1)
    dy_rows = to_rows(step.dy.astype(layer.gamma.dtype), 1)
    trains = step.op != "eval"
    if trains and len(rows) == 1 and layer.conventions.single_value == "error":
        return Expected(raises=True)
    bounds: dict[str, np.ndarray] = {}
    if trains or any_mode:
        bounds = _train_bounds(layer, rows, dy_rows, precision, fast_variance)
        if len(rows):  # an empty batch moves nothing
            _carry(layer, carried, rows, bounds, precision)
    if not trains or any_mode:
        of_eval = _eval_bounds(layer, carried, rows, dy_rows, precision)
        bounds = {name: np.fmax(bounds.get(name, 0.0), bound) for name, bound in of_eval.items()}
    return Expected(layer.play(step), _shaped(bounds, step.x.shape) | _moving_bounds(layer, carried, precision))


def _train_bounds(
    layer: OracleLayer, rows: np.ndarray, dy_rows: np.ndarray, precision: Precision, fast_variance: bool
) -> dict[str, np.ndarray]:
    extra = fast_variance_error(rows, precision) if fast_variance else np.zeros(layer.num_features)
    bounds = train_bounds(
        rows,
        dy_rows,
        layer.gamma,
        layer.beta,
        layer.eps,
        precision,
        eps_at=layer.conventions.eps_at,
        extra_var_error=extra,
    )
    if fast_variance and len(rows):
        _lose(bounds, extra >= layer.batch_statistics(rows)[1] + layer.eps)
    return bounds


def fast_variance_error(rows: np.ndarray, precision: Precision) -> np.ndarray:
    """(n, C) -> (C,): how far E[x^2] - E[x]^2 may be off, n kappa^2 u times the variance (Chan and others 1983).

    Both terms are about m^2 + v large and each sums n rounded terms; the constant allows for either order.
    """
    n = len(rows)
    if n == 0:
        return np.zeros(rows.shape[1])
    return 3 * (n + 4) * precision.work * np.asarray((rows * rows).mean(axis=0), np.float64)


def _lose(bounds: dict[str, np.ndarray], channels: np.ndarray) -> None:
    """A variance that may come out negative may make anything, NaN included, of what is divided by its root."""
    for name in ("y", "dx"):
        bounds[name] = np.where(channels, np.inf, bounds[name])
    bounds["dgamma"] = np.where(channels, np.inf, bounds["dgamma"])


def _eval_bounds(
    layer: OracleLayer, carried: _Carried, rows: np.ndarray, dy_rows: np.ndarray, precision: Precision
) -> dict[str, np.ndarray]:
    moving = _moving_bounds(layer, carried, precision)
    bounds = eval_bounds(
        rows,
        dy_rows,
        layer.gamma,
        layer.beta,
        layer.moving_mean,
        layer.moving_var,
        layer.eps,
        precision,
        moving_mean_bound=moving["moving_mean"],
        moving_var_bound=moving["moving_var"],
        eps_at=layer.conventions.eps_at,
    )
    _lose(bounds, moving["moving_var"] > np.asarray(layer.moving_var, np.float64) + layer.eps)
    return bounds


def _carry(
    layer: OracleLayer, carried: _Carried, rows: np.ndarray, bounds: dict[str, np.ndarray], precision: Precision
) -> None:
    """What the update that is about to happen adds to the error of the moving averages."""
    n = len(rows)
    keep, new = (float(weight) for weight in layer.weights())
    mean, var = layer.batch_statistics(rows)
    var_bound = bounds["var"]
    if layer.conventions.moving_var == "unbiased" and n > 1:
        bessel = n / (n - 1)
        var_bound = bessel * (var_bound + 2 * precision.work * np.asarray(var, np.float64))  # two more roundings
        var = var * bessel
    carried.mean = moving_bound(carried.mean, layer.average_mean, mean, bounds["mean"], keep, new, precision)
    carried.var = moving_bound(carried.var, layer.average_var, var, var_bound, keep, new, precision)


def _moving_bounds(layer: OracleLayer, carried: _Carried, precision: Precision) -> dict[str, np.ndarray]:
    """The bounds of the moving statistics as shown: debiasing divides the error as well, and rounds."""
    shape = layer.gamma.shape
    mean, var = np.broadcast_to(carried.mean, shape), np.broadcast_to(carried.var, shape)
    if layer.conventions.debias and layer.updates > 0:
        keep, t = np.float64(layer.weights()[0]), layer.updates  # of NumPy: a weight of 1 divides by zero
        share = 1 - keep**t
        rounding = precision.work * (t * keep**t / share + 3)  # keep^t: t roundings; then 1 - ., and the division
        mean = mean / share + rounding * np.abs(layer.moving_mean).astype(np.float64)
        var = var / share + rounding * np.abs(layer.moving_var).astype(np.float64)
    return {"moving_mean": mean, "moving_var": var}


def _shaped(bounds: dict[str, np.ndarray], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """y and dx back from (n, C) rows to x's shape; the bounds of the batch's own statistics are not observables."""
    wide = {name: from_rows(bounds[name], shape, 1) for name in ("y", "dx")}
    return wide | {name: bounds[name] for name in ("dgamma", "dbeta")}
