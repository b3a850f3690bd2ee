"""LeNet's layers in NumPy, for speed: buffers are made once for a batch size, and steps write into them.

Images are cut into tiles of T by T pixels, and held as (C, T, T, R, S, N): row and column within the tile, then the
tile's own row and column, then the batch. A convolution that gives such tiles is one matrix product, of the kernel at
every place in a tile (a band of weights, the rest zeros) and the pixels that a tile depends on. These are copies of
large contiguous pieces, and 2x2 squares lie within a tile: pooling adds whole arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from reference.conventions import D2L

KERNEL = 5


class TiledConvolution:
    """A 5x5 convolution without padding. x (C, T, T, R, S, N) -> y (K, T, T, h, w, N), h = R - 4/T rows of tiles."""

    APART = 16
    """Numbers between two rows of `columns`. Rows a power of two apart fall into the same few sets of a cache: the
    second convolution's products of 128 images take a fifth less time so."""

    def __init__(self, weight: np.ndarray, tile: int, rows: int, examples: int) -> None:
        """weight: (K, C, 5, 5), read at every call. rows: of tiles in x, which is square."""
        K, C = weight.shape[:2]
        self.weight, self.tile = weight, tile
        self.reach = (tile + KERNEL - 1) // tile  # tiles that one depends on, to each side
        side, self.out = tile * self.reach, rows - self.reach + 1
        outputs, inputs, places = K * tile**2, C * side**2, self.out**2 * examples  # of a tile, to a tile, of tiles
        dtype = weight.dtype
        self.band = np.zeros((K, tile, tile, C, side, side), dtype)
        self.dband = np.empty_like(self.band)
        if inputs > outputs:  # transposed in memory: products are faster with the longer side first
            self.dband = np.empty((C, side, side, K, tile, tile), dtype).transpose(3, 4, 5, 0, 1, 2)
        self.dweight = np.empty_like(weight)
        self.y = np.empty((K, tile, tile, self.out, self.out, examples), dtype)
        columns = np.empty((inputs, places + self.APART), dtype)[:, :places]
        self.columns = columns.reshape(C, self.reach, tile, self.reach, tile, self.out, self.out, examples)
        self.flat_band, self.flat_dband = self.band.reshape(outputs, inputs), self.dband.reshape(outputs, inputs)
        self.flat_columns, self.flat_y = columns, self.y.reshape(outputs, places)
        assert all(map(np.shares_memory, (self.dband, self.columns), (self.flat_dband, columns)))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Without the bias, which batch norm takes away. y is a buffer."""
        for a, b in product(range(self.tile), repeat=2):
            self.band[:, a, b, :, a : a + KERNEL, b : b + KERNEL] = self.weight
        for r, s in product(range(self.reach), repeat=2):
            self.columns[:, r, :, s] = x[:, :, :, r : r + self.out, s : s + self.out]
        np.matmul(self.flat_band, self.flat_columns, out=self.flat_y)
        return self.y

    def backward_weight(self, dy: np.ndarray) -> np.ndarray:
        """dy (K, T, T, h, w, N) -> the weight's gradient."""
        np.matmul(dy.reshape(self.flat_y.shape), self.flat_columns.T, out=self.flat_dband)
        self.dweight[...] = 0
        for a, b in product(range(self.tile), repeat=2):
            self.dweight += self.dband[:, a, b, :, a : a + KERNEL, b : b + KERNEL]
        return self.dweight

    def backward_input(self, dy: np.ndarray, dx: np.ndarray) -> None:
        """dy -> dx (C, T, T, R, S, N), into that. What x was is lost."""
        np.matmul(self.flat_band.T, dy.reshape(self.flat_y.shape), out=self.flat_columns)
        dx[...] = 0
        for r, s in product(range(self.reach), repeat=2):
            dx[:, :, :, r : r + self.out, s : s + self.out] += self.columns[:, r, :, s]


@dataclass(frozen=True)
class Moments:
    """Of each channel (C,): how many values, their mean, and the sum of their squared distances from it."""

    count: int
    mean: np.ndarray
    squares: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        """Of both together, as Chan, Golub and LeVeque (1979) merge them."""
        count, apart = self.count + other.count, other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * (other.count / count),
            self.squares + other.squares + apart * apart * (self.count * other.count / count),
        )


class NormSigmoid:
    """Batch norm by d2l's conventions and the sigmoid after it, on x (C, P, N): t = 2 sigmoid - 1, and back.

    sigmoid(y) = (1 + tanh(y/2)) / 2, which cannot overflow, so t is the tanh, and the sigmoid's slope is (1 - t*t) / 4.
    x may be a part of a batch: sums over the whole of it come from outside, between `moments` and `train`, and between
    `sums` and `backward`.
    """

    def __init__(
        self, gamma: np.ndarray, beta: np.ndarray, moving_mean: np.ndarray, moving_var: np.ndarray, shape: tuple
    ) -> None:
        """The parameters and the moving statistics (C,) are read, and `move` moves these in place."""
        self.gamma, self.beta, self.moving_mean, self.moving_var = gamma, beta, moving_mean, moving_var
        self.t = np.empty(shape, gamma.dtype)
        self.eps, self.keep = gamma.dtype.type(D2L.default_eps), gamma.dtype.type(D2L.default_momentum)

    def moments(self, x: np.ndarray) -> Moments:
        """x is changed: what is left of it is its distance from its own mean."""
        count = x[0].size
        mean = x.reshape(len(x), -1).sum(axis=1) / count  # (C,), pairwise
        x -= mean[:, None, None]
        self.apart, self.own = x, Moments(count, mean, products(x, x))
        return self.own

    def train(self, batch: Moments) -> np.ndarray:
        """batch: of all its parts."""
        self.count, self.mean, self.var = batch.count, batch.mean, batch.squares / batch.count
        self.scale = 1 / np.sqrt(self.var + self.eps)  # (C,)
        self.off = self.own.mean - batch.mean  # (C,), what `apart` lacks
        factor = self.gamma * self.scale  # (C,)
        return self.activated(self.apart, factor, self.beta + self.off * factor)

    def move(self, bias: np.ndarray) -> None:
        """The moving statistics, by those of the last batch. bias (C,) counts as part of x."""
        new = 1 - self.keep
        self.moving_mean[...] = self.keep * self.moving_mean + new * (self.mean + bias)
        self.moving_var[...] = self.keep * self.moving_var + new * self.var

    def predict(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        factor = self.gamma / np.sqrt(self.moving_var + self.eps)  # (C,)
        return self.activated(x, factor, self.beta + (bias - self.moving_mean) * factor)

    def activated(self, x: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> np.ndarray:
        np.multiply(x, (factor / 2)[:, None, None], out=self.t)
        self.t += (offset / 2)[:, None, None]
        return np.tanh(self.t, out=self.t)

    def slope(self) -> np.ndarray:
        """4 times the sigmoid's, in place of t."""
        np.multiply(self.t, self.t, out=self.t)
        return np.subtract(1, self.t, out=self.t)

    def sums(self, dy: np.ndarray) -> np.ndarray:
        """dy (C, P, N) by what batch norm gave -> dgamma and dbeta (2, C), of this part."""
        dbeta = dy.reshape(len(dy), -1).sum(axis=1)  # (C,)
        return np.array([(products(dy, self.apart) + self.off * dbeta) * self.scale, dbeta])

    def backward(self, dy: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """dy becomes dx; what `moments` kept of x is lost. sums: over all parts."""
        dgamma, dbeta = sums / self.count  # (C,), (C,)
        factor = self.gamma * self.scale  # (C,)
        slope = factor * self.scale * dgamma  # (C,)
        self.apart *= slope[:, None, None]
        dy *= factor[:, None, None]
        dy -= self.apart
        dy -= (factor * dbeta + slope * self.off)[:, None, None]
        return dy


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(C, P, N), the same -> (C,): the sums of the products, those over a batch added in pairs."""
    return np.vecdot(a, b).sum(axis=1)


def pooled(t: np.ndarray, out: np.ndarray) -> np.ndarray:
    """t (C, T, T, R, S, N), 2 sigmoid - 1 -> (C, T/2, T/2, R, S, N), the average sigmoid of each 2x2 square."""
    C, T = t.shape[:2]
    squares = t.reshape(C, T // 2, 2, T // 2, 2, *t.shape[3:])
    np.add(squares[:, :, 0, :, 0], squares[:, :, 0, :, 1], out=out)
    out += squares[:, :, 1, :, 0]
    out += squares[:, :, 1, :, 1]
    out *= 0.125
    out += 0.5
    return out


def pool_backward(dy: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """dy (C, T/2, T/2, R, S, N) -> the gradient by what batch norm gave (C, T, T, R, S, N), in place of `slope`."""
    C, T = slope.shape[:2]
    dy *= 0.0625  # a quarter of a square, and a quarter that `slope` lacks
    squares = slope.reshape(C, T // 2, 2, T // 2, 2, *slope.shape[3:])
    squares *= dy[:, :, None, :, None]
    return slope


def untiled(x: np.ndarray) -> np.ndarray:
    """(C, T, T, R, S, N) -> (N, C, R*T, S*T), a copy."""
    C, T, _, R, S, N = x.shape
    return x.transpose(5, 0, 3, 1, 4, 2).reshape(N, C, R * T, S * T)
