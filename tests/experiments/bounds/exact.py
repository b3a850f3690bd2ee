"""What is expected of one-channel cases, with its error bounds; and the check of that in 50 digits.

The formula is computed in float64 (for float32 cases) or np.longdouble (for float64 ones).
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

from reference.error_bounds import eval_bounds, moving_bound, precision_of, train_bounds
from tests.experiments.bounds.inputs import Array, Batch, random_batch

Named = dict[str, Array]
"""Arrays by observable."""

EXTENDED: dict[str, Any] = {"float32": np.float64, "float64": np.longdouble}


def exact_train(x: Array, dy: Array, gamma: Array, beta: Array, eps: Any, eps_at: str = "inside_sqrt") -> Named:
    """The formula, with each mean corrected by the mean of its residuals."""
    mean = corrected_mean(x)
    d = x - mean
    var = (d * d).mean(axis=0)
    r = 1 / denominator(var, eps, eps_at)
    xh, dy_mean = d * r, corrected_mean(dy)
    # sum(dy xh) = sum((dy - mean dy) xh), which does not lose digits where dy is nearly constant
    dgamma = ((dy - dy_mean) * xh).sum(axis=0)
    slope = x.dtype.type(1)
    if eps_at == "outside_sqrt":
        std = np.sqrt(var)
        slope = np.divide(1, r * std, out=np.zeros_like(std), where=std > 0)
    dx = gamma * r * (dy - dy_mean - xh * (slope * dgamma / len(x)))
    dbeta, y = dy.sum(axis=0), gamma * xh + beta
    return {"mean": mean, "var": var, "y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


def exact_eval(
    x: Array, dy: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: Any, eps_at: str = "inside_sqrt"
) -> Named:
    r = 1 / denominator(var, eps, eps_at)
    xh = (x - mean) * r
    dbeta, dgamma = dy.sum(axis=0), (dy * xh).sum(axis=0)
    return {"y": gamma * xh + beta, "dx": dy * gamma * r, "dgamma": dgamma, "dbeta": dbeta}


def corrected_mean(a: Array) -> Array:
    mean = a.mean(axis=0)
    return np.asarray(mean + (a - mean).mean(axis=0))


def denominator(var: Array, eps: Any, eps_at: str) -> Array:
    return np.sqrt(var + eps) if eps_at == "inside_sqrt" else np.sqrt(var) + eps


def expected_and_bounds(b: Batch) -> tuple[Named, Named]:
    """One training step, the moving statistics after it, and prediction with those (and their error)."""
    E = EXTENDED[b.dtype]
    x, dy, gamma, beta = (a.astype(E) for a in (b.x, b.dy, b.gamma, b.beta))
    mm, mv = b.moving_mean.astype(E), b.moving_var.astype(E)
    precision, n = precision_of(b.dtype), len(x)
    want = exact_train(x, dy, gamma, beta, E(b.eps))
    bound = train_bounds(x, dy, gamma, beta, b.eps, precision)
    keep = E(b.keep)
    bessel = E(n) / E(n - 1) if b.unbiased else E(1)
    want["moving_mean"] = keep * mm + (1 - keep) * want["mean"]
    want["moving_var"] = keep * mv + (1 - keep) * want["var"] * bessel
    bound["moving_mean"] = moving_bound(0.0, mm, want["mean"], bound["mean"], b.keep, 1 - b.keep, precision)
    bound["moving_var"] = moving_bound(
        0.0, mv, want["var"] * bessel, bound["var"] * float(bessel), b.keep, 1 - b.keep, precision
    )
    predicted = exact_eval(x, dy, gamma, beta, want["moving_mean"], want["moving_var"], E(b.eps))
    predicted_bound = eval_bounds(
        x, dy, gamma, beta, want["moving_mean"], want["moving_var"], b.eps, precision,
        bound["moving_mean"], bound["moving_var"],
    )  # fmt: skip
    want |= {f"eval_{k}": v for k, v in predicted.items()}
    bound |= {f"eval_{k}": v for k, v in predicted_bound.items()}
    return want, bound


def reference_error(cases: int, seed: int, dtype: str, max_n: int = 12) -> Named:
    """error/bound of the reference itself, against 50 digits, for each observable of a training step."""
    rng = np.random.default_rng(seed)
    worst: Named = {k: np.zeros(1) for k in ("y", "dx", "dgamma", "dbeta", "mean", "var")}
    for _ in range(-(-cases // 50)):
        b = random_batch(rng, dtype, 50, max_n)
        E = EXTENDED[dtype]
        x, dy, gamma, beta = (a.astype(E) for a in (b.x, b.dy, b.gamma, b.beta))
        got = exact_train(x, dy, gamma, beta, E(b.eps))
        bound = train_bounds(x, dy, gamma, beta, b.eps, precision_of(dtype))
        with mpmath.workdps(50):
            for c in range(50):
                for name, value in in_50_digits(b, c).items():
                    stored = np.atleast_1d(got[name][..., c])
                    limit = np.atleast_1d(bound[name][..., c])
                    for g, v, w in zip(stored, value, limit, strict=True):
                        worst[name] = np.maximum(worst[name], float(abs(_mpf(g) - v)) / float(w))
    return worst


def _mpf(value: Any) -> Any:
    """A longdouble without rounding: the sum of two doubles."""
    high = float(value)
    return mpmath.mpf(high) + mpmath.mpf(float(value - type(value)(high)))


def in_50_digits(b: Batch, c: int) -> dict[str, list[Any]]:
    """The same formula for one channel; call it with mpmath's precision set."""
    x, dy = ([mpmath.mpf(float(v)) for v in a[:, c]] for a in (b.x, b.dy))
    gamma, beta, eps = mpmath.mpf(float(b.gamma[c])), mpmath.mpf(float(b.beta[c])), mpmath.mpf(b.eps)
    n = len(x)
    mean = sum(x) / n
    var = sum((v - mean) ** 2 for v in x) / n
    r = 1 / mpmath.sqrt(var + eps)
    xh = [(v - mean) * r for v in x]
    dbeta, dgamma = sum(dy), sum(g * h for g, h in zip(dy, xh, strict=True))
    dx = [gamma * r * (g - dbeta / n - h * dgamma / n) for g, h in zip(dy, xh, strict=True)]
    y = [gamma * h + beta for h in xh]
    return {"y": y, "dx": dx, "dgamma": [dgamma], "dbeta": [dbeta], "mean": [mean], "var": [var]}
