"""The honest algorithms with every option: each computes as it does, on the elements that count alone."""

from __future__ import annotations

import numpy as np

from tests.targets.honest.layer import AlgorithmLayer


class OptionLayer:
    """Over an `AlgorithmLayer`: what is absent is 1 or 0, the t-th batch of a cumulative average weighs 1/t."""

    options = ("no_gamma", "no_beta", "no_statistics", "cumulative")
    masked = True

    def __init__(self, setup):
        work = np.float64 if setup.dtype == "float64" else np.float32
        ones, zeros = np.ones(setup.num_features, work), np.zeros(setup.num_features, work)
        starts = {"gamma": ones, "beta": zeros, "moving_mean": zeros, "moving_var": ones}
        self.absent = {name for name in starts if getattr(setup, name) is None}
        super().__init__(_Filled(setup, {name: starts[name] for name in self.absent}))
        self.cumulative = setup.cumulative

    def train(self, x, dy, mask=None):
        if self.cumulative:
            self.keep = 1 - 1 / (self.updates + 1)
        if mask is None:
            return self.present(super().train(x, dy))
        without_channels = np.moveaxis(x, self.axis, -1).shape[:-1]
        counts = np.broadcast_to(mask, without_channels)
        if not counts.any():
            return self.present(super().eval(x, dy))
        rows, dy_rows = (np.moveaxis(a, self.axis, -1)[counts] for a in (x, dy))
        axis, self.axis = self.axis, 1
        try:
            values = super().train(rows, dy_rows)
        finally:
            self.axis = axis
        for name in ("y", "dx"):
            whole = np.zeros((*without_channels, x.shape[self.axis]), x.dtype)
            whole[counts] = values[name]
            values[name] = np.ascontiguousarray(np.moveaxis(whole, -1, self.axis))
        return self.present(values)

    def eval(self, x, dy, mask=None):
        if "moving_mean" in self.absent:
            return self.train(x, dy, mask)
        return self.present(super().eval(x, dy))

    def debiased(self, average):
        return average if self.cumulative else super().debiased(average)

    def frozen(self, x, dy):
        return self.eval(x, dy)

    def stats(self):
        return {} if "moving_mean" in self.absent else super().stats()

    def present(self, values):
        return {name: value for name, value in values.items() if name.removeprefix("d") not in self.absent}


class _Filled:
    def __init__(self, setup, arrays):
        vars(self).update(vars(setup) | arrays)


def with_options(layer: type[AlgorithmLayer]) -> type:
    return type(f"{layer.__name__}WithOptions", (OptionLayer, layer), {"__doc__": layer.__doc__})
