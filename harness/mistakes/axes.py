"""Statistics over the wrong axes: the one family of mistakes that needs the shape of x as it came.

Each computes forward and backward on its own, since the reference's (n, C) rows are exactly what it gets wrong.
"""

from __future__ import annotations

import numpy as np

from harness.oracle import OracleLayer


class _WrongAxes(OracleLayer):
    """Parameters and moving statistics lie on `axis`; statistics are over all axes but those in `kept`."""

    axis = 1

    def kept(self, ndim: int) -> tuple[int, ...]:
        return (self.axis % ndim,)

    def train_step(self, x, dy):
        y, scale, x_hat = self._forward(x, update=True)
        axes = self._axes(x)
        gamma = self._along(self.gamma, x)
        mean_dy = dy.mean(axes, keepdims=True)
        dx = gamma * scale * (dy - mean_dy - x_hat * (dy * x_hat).mean(axes, keepdims=True))
        if len(self.kept(x.ndim)) != 1 or self.kept(x.ndim)[0] != self.axis % x.ndim:
            g = gamma * dy  # gamma varies inside a group: it belongs under the means
            dx = scale * (g - g.mean(axes, keepdims=True) - x_hat * (g * x_hat).mean(axes, keepdims=True))
        others = tuple(a for a in range(x.ndim) if a != self.axis % x.ndim)
        return {"y": y, "dx": dx, "dgamma": (dy * x_hat).sum(others), "dbeta": dy.sum(others)}

    def train_no_grad_step(self, x):
        return {"y": self._forward(x, update=True)[0]}

    def eval_step(self, x, dy):
        scale = self._along(self.inverse_std(self.moving_var), x)
        x_hat = (x - self._along(self.moving_mean, x)) * scale
        gamma = self._along(self.gamma, x)
        others = tuple(a for a in range(x.ndim) if a != self.axis % x.ndim)
        return {
            "y": gamma * x_hat + self._along(self.beta, x),
            "dx": gamma * scale * dy,
            "dgamma": (dy * x_hat).sum(others),
            "dbeta": dy.sum(others),
        }

    def _axes(self, x):
        return tuple(a for a in range(x.ndim) if a not in self.kept(x.ndim))

    def _along(self, values, x):
        shape = [1] * x.ndim
        shape[self.axis % x.ndim] = len(values)
        return values.reshape(shape)

    def _forward(self, x, update):
        axes = self._axes(x)
        mean = x.mean(axes, keepdims=True)
        var = ((x - mean) ** 2).mean(axes, keepdims=True)
        scale = self.inverse_std(var)
        x_hat = (x - mean) * scale
        y = self._along(self.gamma, x) * x_hat + self._along(self.beta, x)
        if y.shape != x.shape:
            raise ValueError("the parameters do not fit this axis")
        if update:
            n = x.size // mean.size
            over = tuple(a for a in range(x.ndim) if a != self.axis % x.ndim)
            mean, var = (np.broadcast_to(s, x.shape).mean(over) for s in (mean, var))
            self.update(mean, var, n)
        return y, scale, x_hat


class LastAxis(_WrongAxes):
    """Channels are taken to lie on the last axis."""

    axis = -1


class FirstAxis(_WrongAxes):
    """Channels are taken to lie on the first axis."""

    axis = 0


class PerSample(_WrongAxes):
    """Statistics per sample (layer norm): over every axis but the first."""

    def kept(self, ndim):  # noqa: ARG002
        return (0,)


class PerSampleAndChannel(_WrongAxes):
    """Statistics per sample and channel (instance norm)."""

    def kept(self, ndim):  # noqa: ARG002
        return (0, 1)


class OverBatchOnly(_WrongAxes):
    """Statistics over the batch axis alone: one per channel and place."""

    def kept(self, ndim):
        return tuple(range(1, ndim))


WRONG_AXES = (LastAxis, FirstAxis, PerSample, PerSampleAndChannel, OverBatchOnly)
