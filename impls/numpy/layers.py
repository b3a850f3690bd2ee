"""LeNet's layers in NumPy, for speed: buffers are made once for a batch size, and steps write into them.

Images are cut into tiles of T by T pixels, and held as (C, T, T, R, S, N): row and column within the tile, then the
tile's own row and column, then the batch. A convolution that gives such tiles is one matrix product, of the kernel at
every place in a tile (a band of weights, the rest zeros) and the pixels that a tile depends on. These are copies of
large contiguous pieces, and 2x2 squares lie within a tile: pooling adds whole arrays.
"""

from __future__ import annotations

import numpy as np

from reference.conventions import D2L

KERNEL = 5


class TiledConvolution:
    """A 5x5 convolution without padding. x (C, T, T, R, S, N) -> y (K, T, T, h, w, N), h = R - 4/T rows of tiles."""

    def __init__(self, weight: np.ndarray, tile: int, rows: int, examples: int) -> None:
        """weight: (K, C, 5, 5), read at every call. rows: of tiles in x, which is square."""
        K, C = weight.shape[:2]
        self.weight, self.tile = weight, tile
        self.reach = (tile + KERNEL - 1) // tile  # tiles that one depends on, to each side
        side, out = tile * self.reach, rows - self.reach + 1
        dtype = weight.dtype
        self.band = np.zeros((K, tile, tile, C, side, side), dtype)
        self.columns = np.empty((C, self.reach, tile, self.reach, tile, out, out, examples), dtype)
        self.y = np.empty((K, tile, tile, out, out, examples), dtype)
        self.dweight = np.empty_like(weight)
        self.dband = np.empty_like(self.band)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Without the bias, which batch norm takes away. y is a buffer."""
        for a, b in np.ndindex(self.tile, self.tile):
            self.band[:, a, b, :, a : a + KERNEL, b : b + KERNEL] = self.weight
        h, w = self.columns.shape[5:7]
        for r, s in np.ndindex(self.reach, self.reach):
            self.columns[:, r, :, s] = x[:, :, :, r : r + h, s : s + w]
        band = self.band.reshape(self.band[:, :, :, 0, 0, 0].size, -1)  # (K*T*T, C*side*side)
        np.matmul(band, self.columns.reshape(band.shape[1], -1), out=self.y.reshape(len(band), -1))
        return self.y

    def backward_weight(self, dy: np.ndarray) -> np.ndarray:
        """dy (K, T, T, h, w, N) -> the weight's gradient."""
        dband = self.dband.reshape(self.band[:, :, :, 0, 0, 0].size, -1)
        np.matmul(dy.reshape(len(dband), -1), self.columns.reshape(dband.shape[1], -1).T, out=dband)
        self.dweight[...] = 0
        for a, b in np.ndindex(self.tile, self.tile):
            self.dweight += self.dband[:, a, b, :, a : a + KERNEL, b : b + KERNEL]
        return self.dweight

    def backward_input(self, dy: np.ndarray, dx: np.ndarray) -> None:
        """dy -> dx (C, T, T, R, S, N), into that. What x was is lost."""
        band = self.band.reshape(self.band[:, :, :, 0, 0, 0].size, -1)
        np.matmul(band.T, dy.reshape(len(band), -1), out=self.columns.reshape(band.shape[1], -1))
        dx[...] = 0
        h, w = self.columns.shape[5:7]
        for r, s in np.ndindex(self.reach, self.reach):
            dx[:, :, :, r : r + h, s : s + w] += self.columns[:, r, :, s]


class NormSigmoid:
    """Batch norm by d2l's conventions and the sigmoid after it, on x (C, P, N): t = 2 sigmoid - 1, and back.

    sigmoid(y) = (1 + tanh(y/2)) / 2, which cannot overflow, so t is the tanh, and the sigmoid's slope is (1 - t*t) / 4.
    """

    def __init__(
        self, gamma: np.ndarray, beta: np.ndarray, moving_mean: np.ndarray, moving_var: np.ndarray, shape: tuple
    ) -> None:
        """The parameters (C,) are read, and the moving statistics (C,) moved in place."""
        self.gamma, self.beta, self.moving_mean, self.moving_var = gamma, beta, moving_mean, moving_var
        self.t = np.empty(shape, gamma.dtype)
        self.number = gamma.dtype.type
        self.eps, self.keep = self.number(D2L.default_eps), self.number(D2L.default_momentum)

    def train(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """x is changed: what is left of it is its distance from the mean. bias (C,) counts as part of x."""
        n = self.number(x[0].size)
        mean = x.reshape(len(x), -1).sum(axis=1) / n  # (C,), pairwise
        x -= mean[:, None, None]
        var = products(x, x) / n  # (C,)
        new = 1 - self.keep
        self.moving_mean[...] = self.keep * self.moving_mean + new * (mean + bias)
        self.moving_var[...] = self.keep * self.moving_var + new * var
        self.apart, self.scale = x, 1 / np.sqrt(var + self.eps)
        return self.activated(x, self.gamma * self.scale, self.beta)

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

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """dy (C, P, N) by what batch norm gave -> (dx, dgamma, dbeta). dy becomes dx; what train kept of x is lost."""
        n = self.number(dy[0].size)
        dgamma = products(dy, self.apart) * self.scale  # (C,)
        dbeta = dy.reshape(len(dy), -1).sum(axis=1)  # (C,)
        factor = self.gamma * self.scale  # (C,)
        self.apart *= (factor * self.scale * dgamma / n)[:, None, None]
        dy *= factor[:, None, None]
        dy -= self.apart
        dy -= (factor * dbeta / n)[:, None, None]
        return dy, dgamma, dbeta


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
