"""Statistics over the wrong axes: the only mistakes that need the shape of x as it came.

Each computes forward and backward on its own, since the reference's (n, C) rows are exactly what it gets wrong.
"""

from __future__ import annotations

import numpy as np

from harness.judge.oracle import OracleLayer


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


class OverEverything(_WrongAxes):
    """One mean and one variance for the whole batch, channels and all."""

    def kept(self, ndim):  # noqa: ARG002
        return ()


class LastAxisForgotten(_WrongAxes):
    """One mean per channel and place on the last axis: that axis is not reduced."""

    def kept(self, ndim):
        return (1, ndim - 1)


class FirstPlaceForgotten(_WrongAxes):
    """One mean per channel and place on the first axis after the channels'."""

    def kept(self, ndim):
        return (1, 2) if ndim > 2 else (1,)


class OverChannels(_WrongAxes):
    """Over the channels alone: one mean per sample and place."""

    def kept(self, ndim):
        return tuple(axis for axis in range(ndim) if axis != 1)


class PerSampleAndLast(_WrongAxes):
    """Over the axes in between, as when channels are thought to lie last: one mean per sample and last place."""

    def kept(self, ndim):
        return (0, ndim - 1)


class _Grouping(_WrongAxes):
    """y alone is compared; gamma and beta lie where they should, whatever the statistics are taken over."""


class ByLast(_Grouping):
    def kept(self, ndim):
        return (ndim - 1,)


class ByThird(_Grouping):
    def kept(self, ndim):
        return (min(2, ndim - 1),)


class SecondAxis(_WrongAxes):
    """Channels are taken to lie on axis 2: axis 1 as a channels-last layer sees it."""

    axis = 2

    def train_step(self, x, dy):
        self._settle(x)
        return super().train_step(x, dy)

    def eval_step(self, x, dy):
        self._settle(x)
        return super().eval_step(x, dy)

    def _settle(self, x):
        self.axis = 1 if x.ndim == 2 else 2


WRONG_AXES = (
    LastAxis,
    FirstAxis,
    SecondAxis,
    PerSample,
    PerSampleAndChannel,
    OverBatchOnly,
    OverEverything,
    LastAxisForgotten,
    FirstPlaceForgotten,
    PerSampleAndLast,
    OverChannels,
)
GROUPINGS = (*WRONG_AXES, ByLast, ByThird)
"""Ways to group the values that y alone reveals, whatever becomes of the other observables."""
