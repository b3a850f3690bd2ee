"""Other ways to add: statistics and gradients in every order and precision that counts as honest."""

import math

import numpy as np

from tests.targets.mutants.right import D2l, Flax, Torch


class Plain(D2l):
    """Two passes, closed-form gradient."""


class Welford(D2l):
    """One value at a time."""

    def statistics(self, x):
        rows = np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])
        mean, squares = np.zeros_like(rows[0]), np.zeros_like(rows[0])
        for k, row in enumerate(rows, 1):
            delta = row - mean
            mean = mean + delta / self.work.type(k)
            squares = squares + delta * (row - mean)
        return mean, squares / self.work.type(len(rows))


class ChanMerges(Torch):
    """Halves are merged, as parallel reductions do."""

    def statistics(self, x):
        rows = np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])
        mean, squares = self.merged(rows)
        return mean, squares / self.work.type(len(rows))

    def merged(self, rows):
        """Each part's second half is the longer by one where they are not equal; a level of the tree at a time."""
        levels, sizes = [], np.array([len(rows)])
        while sizes.max() > 1:
            levels.append(sizes)
            sizes = np.stack([sizes // 2, sizes - sizes // 2], axis=1).reshape(-1)
            sizes = sizes[sizes > 0]
        means, squares = rows, np.zeros_like(rows)
        for sizes in reversed(levels):
            halved = sizes > 1
            first = np.cumsum(1 + halved) - (1 + halved)
            a, b, n = first[halved], first[halved] + 1, sizes[halved]
            na, nb, delta = n // 2, n - n // 2, means[b] - means[a]
            mean = means[a] + delta * (nb / n).astype(self.work)[:, None]
            square = squares[a] + squares[b] + delta * delta * (na * nb / n).astype(self.work)[:, None]
            means, squares = means[first], squares[first]
            means[halved], squares[halved] = mean, square
        return means[0], squares[0]


class PairwiseTree(D2l):
    """Halves are added, the first the longer by one where they are not equal; a level of the tree at a time."""

    def total(self, rows):
        sizes = np.array([len(rows)])
        while sizes.max() > 2:
            sizes = np.stack([(sizes + 1) // 2, sizes // 2], axis=1).reshape(-1)
        first = np.cumsum(sizes) - sizes
        sums = rows[first]
        sums[sizes == 2] += rows[first[sizes == 2] + 1]
        while len(sums) > 1:
            sums = sums[::2] + sums[1::2]
        return sums[0]

    def statistics(self, x):
        rows = np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])
        n = self.work.type(len(rows))
        mean = self.total(rows) / n
        return mean, self.total(np.square(rows - mean)) / n


class Sequential(Flax):
    """Sums one by one, in the working precision, everywhere."""

    def total(self, rows):
        return np.add.accumulate(np.concatenate([np.zeros_like(rows[:1]), rows]))[-1]

    def rows(self, x):
        return np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])

    def statistics(self, x):
        rows = self.rows(x)
        mean = self.total(rows) / self.work.type(len(rows))
        return mean, self.total(np.square(rows - mean)) / self.work.type(len(rows))

    def parameter_gradients(self, dy, saved):
        return self.total(self.rows(dy * saved["x_hat"])), self.total(self.rows(dy))

    def input_gradient(self, dy, saved):
        n, x_hat = self.work.type(self.count(dy)), saved["x_hat"]
        dgamma, dbeta = self.parameter_gradients(dy, saved)
        inner = dy - self.along(dbeta / n, dy) - x_hat * self.along(dgamma / n, dy)
        return self.along(self.gamma * saved["scale"], dy) * inner


class Reversed(Sequential):
    """One by one, from the last."""

    def rows(self, x):
        return super().rows(x)[::-1]


class Lanes(Sequential):
    """Eight running sums, merged at the end."""

    def total(self, rows):
        lanes = [super(Lanes, self).total(rows[k::8]) for k in range(min(8, len(rows)))]
        return super().total(np.stack(lanes))


class ExactSums(Sequential):
    """math.fsum: every sum is rounded once."""

    def total(self, rows):
        flat = np.ascontiguousarray(rows.reshape(len(rows), -1).T, np.float64)
        return np.array([math.fsum(column) for column in flat], self.work)


class DoubleInside(D2l):
    """float64 throughout, rounded at the end."""

    def __init__(self, setup):
        super().__init__(setup)
        self.store, self.work = self.work, np.dtype(np.float64)

    def results(self, x, y, dx, dgamma, dbeta):
        return super().results(x, y, dx, dgamma.astype(self.store), dbeta.astype(self.store))

    def stats(self):
        return {name: value.astype(self.store) for name, value in super().stats().items()}


class DoubleSums(Torch):
    """float64 sums of values in the working precision."""

    def statistics(self, x):
        mean = x.mean(axis=self.axes(x), dtype=np.float64).astype(self.work)
        return mean, np.square(x - self.along(mean, x)).mean(axis=self.axes(x), dtype=np.float64).astype(self.work)
