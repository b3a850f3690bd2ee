"""Functions in NumPy, for tests/test_recognise.py and tests/test_smoke.py."""

import numpy as np


def in_place(x, gamma, beta, running_mean, running_var, eps, momentum, training):
    """The moving statistics are written in place; y alone comes back; channels last."""
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, var = x.mean(axes), x.var(axes)
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var - running_var)
    else:
        mean, var = running_mean, running_var
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


def training_only(x, gamma, beta, eps):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + eps) * gamma + beta


def images_only(x, gamma, beta, eps):
    if x.ndim != 4:
        raise ValueError(f"images have rank 4, not {x.ndim}")
    return training_only(x, gamma, beta, eps)


class NeedsMore:
    """A class that was not written to the contract."""

    def __init__(self, num_features, eps):
        pass

    def train(self, x, dy):
        pass
