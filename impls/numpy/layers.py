"""LeNet's layers in NumPy, for speed: buffers and views of them are made once for a batch size, and steps use them.

Images are cut into tiles of T by T pixels, and held as (C, T, T, R, S, N): row and column within the tile, then the
tile's own row and column, then the batch. A convolution that gives such tiles is one matrix product, of the kernel at
every place in a tile (a band of weights, the rest zeros) and the pixels that a tile depends on. These are copies of
large contiguous pieces, and 2x2 squares lie within a tile: pooling adds whole arrays.

Each call of NumPy takes and returns Python's lock, which costs time where two threads compute: calls are few and large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add

import numpy as np
from numpy.lib.stride_tricks import as_strided

from impls.numpy.buffers import Buffers
from reference.conventions import D2L

KERNEL = 5

Weights = dict[str, np.ndarray]


class TiledConvolution:
    """A 5x5 convolution without padding. x (C, T, T, R, S, N) -> y (K, T, T, h, w, N), h = R - 4/T rows of tiles."""

    APART = 16
    """Numbers between two rows of `columns`. Rows a power of two apart fall into the same few sets of a cache: the
    second convolution's products of 128 images take a fifth less time so."""

    def __init__(self, weight: np.ndarray, dweight: np.ndarray, x: np.ndarray, buffers: Buffers) -> None:
        """weight (K, C, 5, 5) and x, of square images, are read at every call, dweight is written."""
        K, C, *_ = weight.shape
        tile, rows, examples = x.shape[2], x.shape[3], x.shape[5]
        self.reach = (tile + KERNEL - 1) // tile  # tiles that one depends on, to each side
        side, self.out = tile * self.reach, rows - self.reach + 1
        outputs, inputs, places = K * tile**2, C * side**2, self.out**2 * examples  # of a tile, to a tile, of tiles
        self.weight, self.dweight, self.x = weight[:, None, None], dweight, x
        self.y = buffers.empty(K, tile, tile, self.out, self.out, examples)
        self.flat_y = self.y.reshape(outputs, places)
        self.band, self.dband = buffers.empty(outputs, inputs), buffers.empty(outputs, inputs)
        self.band[...] = 0
        self.transposed = inputs > outputs  # in memory: products are faster with the longer side first
        if self.transposed:
            self.dband = buffers.empty(inputs, outputs).T
        self.taps, self.dtaps = (kernels(a, K, tile, C, side) for a in (self.band, self.dband))
        self.columns = buffers.empty(inputs, places + self.APART)[:, :places]
        self.pixels = self.columns.reshape(C, self.reach, tile, self.reach, tile, self.out, self.out, examples)
        self.neighbours = neighbours(x, self.reach)  # as `pixels`
        assert np.shares_memory(self.pixels, self.columns)

    def forward(self) -> np.ndarray:
        """Without the bias, which batch norm takes away. y is a buffer."""
        self.taps[...] = self.weight
        self.pixels[...] = self.neighbours
        np.matmul(self.band, self.columns, out=self.flat_y)
        return self.y

    def backward_weight(self, dy: np.ndarray) -> None:
        """dy: as y."""
        np.matmul(dy.reshape(self.flat_y.shape), self.columns.T, out=self.dband)
        if self.transposed:
            self.dweight[...] = 0
            for a, b in product(range(self.dtaps.shape[1]), repeat=2):
                self.dweight += self.dtaps[:, a, b]
        else:
            self.dtaps.sum(axis=(1, 2), out=self.dweight)

    def backward_input(self, dy: np.ndarray) -> np.ndarray:
        """dx, in place of x."""
        np.matmul(self.band.T, dy.reshape(self.flat_y.shape), out=self.columns)
        dx = self.x
        dx[...] = 0
        for r, s in product(range(self.reach), repeat=2):
            dx[:, :, :, r : r + self.out, s : s + self.out] += self.pixels[:, r, :, s]
        return dx


def kernels(band: np.ndarray, K: int, tile: int, C: int, side: int) -> np.ndarray:
    """The kernels in a band (K*T*T, C*side*side) -> (K, T, T, C, 5, 5), a view: at place (a, b), a down, b right."""
    whole = band.reshape(K, tile, tile, C, side, side)
    assert np.shares_memory(whole, band)
    k, a, b, c, i, j = whole.strides
    return as_strided(whole, (K, tile, tile, C, KERNEL, KERNEL), (k, a + i, b + j, c, i, j))


def neighbours(x: np.ndarray, reach: int) -> np.ndarray:
    """x (C, T, T, R, S, N) -> (C, reach, T, reach, T, h, w, N), a view: the tiles that each place depends on."""
    C, tile, _, rows, _, examples = x.shape
    c, i, j, r, s, n = x.strides
    out = rows - reach + 1
    return as_strided(x, (C, reach, tile, reach, tile, out, out, examples), (c, r, i, s, j, r, s, n), writeable=False)


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


class BatchNorm:
    """Batch norm by d2l's conventions, as far as it is arithmetic on a number a channel: all arrays are (C,)."""

    def __init__(
        self, layer: str, norm: str, lacks: float, weights: Weights, gradients: Weights, batch: Weights
    ) -> None:
        """The norm comes after the layer, whose bias is left out of x and counts as part of it. What is written: the
        gradients of gamma and beta, and, under the names of the moving statistics, those of the batch.
        lacks: a factor of dy that is still to be multiplied by."""
        self.bias = weights[f"{layer}.bias"]
        self.gamma, self.beta = weights[f"{norm}.gamma"], weights[f"{norm}.beta"]
        self.dgamma, self.dbeta = gradients[f"{norm}.gamma"], gradients[f"{norm}.beta"]
        self.moving_mean, self.moving_var = weights[f"{norm}.moving_mean"], weights[f"{norm}.moving_var"]
        self.batch_mean, self.batch_var = batch[f"{norm}.moving_mean"], batch[f"{norm}.moving_var"]
        number = self.gamma.dtype.type
        self.eps, self.lacks = number(D2L.default_eps), number(lacks)

    def train(self, parts: Sequence[Moments]) -> None:
        """By the moments of all parts of a batch."""
        batch = reduce(add, parts)
        self.count, self.mean = batch.count, batch.mean
        np.add(batch.mean, self.bias, out=self.batch_mean)
        np.divide(batch.squares, batch.count, out=self.batch_var)
        self.scale = 1 / np.sqrt(self.batch_var + self.eps)
        self.factor = self.gamma * self.scale

    def predict(self) -> None:
        self.mean = self.moving_mean - self.bias
        self.factor = self.gamma / np.sqrt(self.moving_var + self.eps)

    def backward(self, parts: Sequence[np.ndarray]) -> None:
        """parts: each one's sums of dy (x - mean) and of dy (2, C), as dy is."""
        dscale, dbeta = sums = reduce(add, parts)
        np.multiply(dscale, self.scale * self.lacks, out=self.dgamma)
        np.multiply(dbeta, self.lacks, out=self.dbeta)
        self.slope, self.mean_dy = sums / self.count
        self.slope *= self.scale * self.scale
        self.dfactor = self.factor * self.lacks


class NormSigmoid:
    """Batch norm and the sigmoid after it, on a part x of a batch (C, P, N): t = 2 sigmoid - 1, and back.

    sigmoid(y) = (1 + tanh(y/2)) / 2, which cannot overflow, so t is the tanh, and the sigmoid's slope is (1 - t*t) / 4.
    `moments` of all parts go to `BatchNorm.train` before `activate`, `sums` to `BatchNorm.backward` before `backward`.
    """

    def __init__(self, norm: BatchNorm, x: np.ndarray, dbias: np.ndarray, buffers: Buffers) -> None:
        """x is read and overwritten at every call, and dbias (C,) written: the gradient of the bias before the norm."""
        self.norm, self.x, self.dbias = norm, x, dbias
        self.t = buffers.empty(*x.shape)
        self.count = x[0].size
        length = summed_at_once(*x.shape[1:])
        self.ones = np.ones(length, x.dtype)
        rows = (len(x), self.count // length, length) if length < self.count else (len(x), length)
        self.rows_of_x, self.rows_of_t = x.reshape(rows), self.t.reshape(rows)
        self.both = np.empty((2, len(x)), x.dtype)

    def moments(self) -> Moments:
        """What is left of x is its distance from its own mean."""
        self.mean = products(self.rows_of_x, self.ones)  # (C,)
        self.mean /= self.count
        self.x -= self.mean[:, None, None]
        return Moments(self.count, self.mean, products(self.rows_of_x, self.rows_of_x))

    def activate(self) -> None:
        """x, less the mean of this part -> t."""
        half = self.norm.factor / 2  # (C,)
        self.off = self.mean - self.norm.mean  # (C,), what x lacks
        np.multiply(self.x, half[:, None, None], out=self.t)
        self.t += (self.norm.beta / 2 + self.off * half)[:, None, None]
        np.tanh(self.t, out=self.t)

    def predict(self) -> None:
        """x -> t."""
        self.mean = np.zeros_like(self.norm.mean)
        self.activate()

    def slope(self) -> np.ndarray:
        """4 times the sigmoid's, in place of t."""
        np.multiply(self.t, self.t, out=self.t)
        return np.subtract(1, self.t, out=self.t)

    def sums(self) -> np.ndarray:
        """dy stands in place of t -> the sums of dy (x - mean) and of dy (2, C)."""
        dscale, dbeta = self.both
        products(self.rows_of_t, self.ones, out=dbeta)
        products(self.rows_of_t, self.rows_of_x, out=dscale)
        dscale += self.off * dbeta
        return self.both

    def backward(self) -> np.ndarray:
        """dx, in place of t; what was left of x is lost."""
        slope, dx = self.norm.slope, self.t
        self.x *= slope[:, None, None]
        dx -= self.x
        dx -= (self.norm.mean_dy + slope * self.off)[:, None, None]
        dx *= self.norm.dfactor[:, None, None]
        products(self.rows_of_t, self.ones, out=self.dbias)
        return dx


def summed_at_once(places: int, examples: int) -> int:
    """How many values BLAS adds in a row, a divisor of all: the sums of so many are added in pairs."""
    at_once = 1
    while places % (2 * at_once) == 0 and 2 * at_once * examples <= 1024:
        at_once *= 2
    return at_once * examples


def products(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a (C, M, L) or (C, L), b the same or (L,) -> (C,): the sums of the products."""
    if a.ndim == 2:
        return np.vecdot(a, b, out=out)
    return np.add.reduce(np.vecdot(a, b), axis=1, out=out)


class Pooling:
    """2x2 squares of t (C, T, T, R, S, N), 2 sigmoid - 1 -> y (C, T/2, T/2, R, S, N), their average sigmoid."""

    def __init__(self, t: np.ndarray, buffers: Buffers) -> None:
        C, T = t.shape[:2]
        y = buffers.empty(C, T // 2, T // 2, *t.shape[3:])
        self.squares = t.reshape(C, T // 2, 2, T // 2, 2, *t.shape[3:])
        self.quarters = [self.squares[:, :, a, :, b] for a, b in product(range(2), repeat=2)]
        self.y, self.wide_y = y, y[:, :, None, :, None]

    def forward(self) -> None:
        np.add(self.quarters[0], self.quarters[1], out=self.y)
        self.y += self.quarters[2]
        self.y += self.quarters[3]
        self.y *= 0.125
        self.y += 0.5

    def backward(self) -> None:
        """y's gradient, in its place -> 16 times that by what batch norm gave, in place of 4 times the slope."""
        self.squares *= self.wide_y


def untiled(x: np.ndarray) -> np.ndarray:
    """(C, T, T, R, S, N) -> (N, C, R*T, S*T), a copy."""
    C, T, _, R, S, N = x.shape
    return x.transpose(5, 0, 3, 1, 4, 2).reshape(N, C, R * T, S * T)
