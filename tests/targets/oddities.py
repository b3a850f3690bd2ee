"""Right batch norms that do something unusual, and must be said to agree."""

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Torch


class WideInside(D2l):
    """float64 inside, whatever comes in; results in the input's type."""

    def __init__(self, setup):
        super().__init__(setup)
        self.narrow = self.gamma.dtype
        self.work = np.dtype(np.float64)

    def results(self, x, y, dx, dgamma, dbeta):
        return super().results(x, y, dx, dgamma.astype(self.narrow), dbeta.astype(self.narrow))

    def stats(self):
        return {name: value.astype(self.narrow) for name, value in super().stats().items()}


class GammaMayBeAbsent(Torch):
    """A gamma of ones and a beta of zeros are not kept at all."""

    def output(self, x_hat):
        y = x_hat if (self.gamma == 1).all() else self.along(self.gamma, x_hat) * x_hat
        return y if (self.beta == 0).all() else y + self.along(self.beta, x_hat)


class FortranOrder(D2l):
    """Works on, and returns, arrays in the other memory order."""

    def wide(self, x):
        return np.asfortranarray(x, self.work)


class ReturnsViews(Torch):
    """Results are views with gaps into larger arrays."""

    def results(self, x, y, dx, dgamma, dbeta):
        own = super().results(x, y, dx, dgamma, dbeta)
        larger = {name: np.repeat(value, 2, axis=-1) for name, value in own.items()}
        return {name: value[..., ::2] for name, value in larger.items()}


class ChannelsLastInside(D2l):
    """Moves channels to the last axis, and the results back."""

    def train(self, x, dy):
        return self.moved(super().train, x, dy)

    def eval(self, x, dy):
        return self.moved(super().eval, x, dy)

    def moved(self, method, x, dy):
        self.axis = -1
        result = method(*(np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, dy)))
        self.axis = 1
        return result | {name: np.moveaxis(result[name], -1, 1) for name in ("y", "dx")}


class ChannelsLast(Flax):
    """Channels last throughout; rows of channels inside."""

    def wide(self, x):
        return np.ascontiguousarray(x, self.work)


class RowsInside(D2l):
    """Everything as (n, C) rows."""

    def train(self, x, dy):
        return self.as_rows(super().train, x, dy)

    def eval(self, x, dy):
        return self.as_rows(super().eval, x, dy)

    def as_rows(self, method, x, dy):
        moved = np.moveaxis(x, 1, -1).shape
        rows = (np.moveaxis(a, 1, -1).reshape(-1, x.shape[1]) for a in (x, dy))
        result = method(*rows)
        return result | {name: np.moveaxis(result[name].reshape(moved), -1, 1) for name in ("y", "dx")}


class PerChannelLoop(D2l):
    """One channel after the other, each as a batch norm of one channel."""

    def statistics(self, x):
        channels = [x[:, c] for c in range(x.shape[1])]
        mean = np.array([channel.mean() for channel in channels])
        return mean, np.array([np.square(channel - m).mean() for channel, m in zip(channels, mean, strict=True)])


class RefusesOddMemory(Torch):
    """Refuses strides of zero and below, as torch does."""

    def wide(self, x):
        if x.size and min(x.strides) <= 0:
            raise ValueError("strides must be positive")
        return super().wide(x)


class EpsFromBits(D2l):
    """eps is kept as a float64 and added in float64; the root is rounded back."""

    def inverse_std(self, var):
        return (1 / np.sqrt(var.astype(np.float64) + self.eps)).astype(self.work)


class LazyMomentum(Torch):
    """momentum 0 and 1 are taken literally: nothing moves, or the batch replaces what was there."""

    def averaged(self, old, new):
        if self.momentum in (0, 1):
            return np.array(new) if self.momentum else old
        return super().averaged(old, new)


class CopiesState(Flax):
    """Saves copies in lists of Python's own numbers, which hold every bit."""

    def state(self):
        return {name: value.tolist() for name, value in super().state().items()}

    def load_state(self, state):
        super().load_state({name: np.array(value, self.gamma.dtype) for name, value in state.items()})


ODDITIES = tuple(value for value in vars().values() if isinstance(value, type) and value.__module__ == __name__)
