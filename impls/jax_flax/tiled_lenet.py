"""The network of `lenet.py` in another layout, for the CPU: the batch is the last axis, and images are cut into tiles.

An image is (C, T, T, R, S, N): row and column within a tile of T by T pixels, then the tile's own, then the batch. A
convolution that gives such tiles is one matrix product, of the kernel at every place in a tile and the pixels that a
tile depends on: fewer zeros than a band along a whole row has. 2x2 squares lie within a tile, so that pooling adds
whole arrays. Batch norm and sigmoid are one function with a gradient by hand, whose sums go along the batch last: XLA's
sums along the memory go value by value on a CPU, those across it by vectors, and need nothing written down before.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from impls.jax_flax.batch_norm import moved
from impls.jax_flax.lenet import CONVENTIONS, KERNEL, LeNet

SUMMED = 16
"""How many are added first: the places in a tile of the first convolution."""


class TiledLeNet(LeNet):
    """The same weights and results; norms by d2l's conventions, which are not asked but applied."""

    axis: str | None = None
    """The mapped axis over which several devices share out a batch evenly, in training."""

    def activations(self, images):
        tiles = images.reshape(-1, 7, 4, 7, 4).transpose(2, 4, 1, 3, 0)[None]  # (1, 4, 4, 7, 7, N)
        bn1 = self.norm_sigmoid(self.bn1, self.conv1.bias, convolution(tiles, self.conv1.weight[...]))
        x = average_pool(bn1)  # (6, 2, 2, 6, 6, N)
        bn2 = self.norm_sigmoid(self.bn2, self.conv2.bias, convolution(x, self.conv2.weight[...]))
        x = average_pool(bn2)  # (16, 1, 1, 4, 4, N)
        x = x[:, 0, 0].transpose(1, 2, 0, 3).reshape(256, -1)  # (256, N), in (H, W, C) order as the weight has it
        bn3 = self.norm_sigmoid(self.bn3, self.dense1.bias, self.dense1.weight[...].T @ x)  # (120, N)
        bn4 = self.norm_sigmoid(self.bn4, self.dense2.bias, self.dense2.weight[...].T @ bn3)  # (84, N)
        logits = bn4.T @ self.dense3.weight[...] + self.dense3.bias[...]  # (N, 10)
        return {"bn1": untiled(bn1), "bn2": untiled(bn2), "bn3": bn3.T, "bn4": bn4.T, "dense3": logits}

    def norm_sigmoid(self, norm, bias, x):
        """x (C, ..., N), to which the bias belongs, though it has not been added -> the same shape."""
        rows = x.reshape(len(x), -1, x.shape[-1])  # (C, P, N)
        bias, gamma, beta = bias[...], norm.gamma[...], norm.beta[...]  # (C,) each
        if norm.use_running_average:
            mean, var = norm.moving_statistics()  # (C,), (C,)
            factor = gamma * jnp.sqrt(1 / (var + norm.eps))  # (C,)
            return sigmoid(rows * wide(factor) + wide(beta + (bias - mean) * factor)).reshape(x.shape)
        s, mean, var = norm_sigmoid(rows, bias, gamma, beta, norm.eps, self.axis)
        norm.moving_mean[...] = moved(norm.moving_mean[...], mean, norm.momentum, CONVENTIONS)
        norm.moving_var[...] = moved(norm.moving_var[...], var, norm.momentum, CONVENTIONS)
        norm.updates[...] += 1
        return s.reshape(x.shape)


# --- convolution and pooling of tiles ---


def convolution(x, weight):
    """x (C, T, T, R, S, N), weight (5, 5, C, K) -> (K, T, T, h, w, N), without padding; h = R - 4/T rows of tiles."""
    C, tile, _, rows, _, N = x.shape
    reach = (tile + KERNEL - 1) // tile  # tiles that one depends on, to each side
    out = rows - reach + 1
    columns = columns_of(x, reach)  # (C, reach, T, reach, T, h, w, N)
    places = np.stack([np.eye(KERNEL, tile * reach, a) for a in range(tile)]).astype(x.dtype)  # (T, 5, side)
    band = jnp.einsum("ijck,air,bjs->kabcrs", weight, places, places)  # (K, T, T, C, side, side)
    y = band.reshape(-1, C * (tile * reach) ** 2) @ columns.reshape(C * (tile * reach) ** 2, -1)
    return y.reshape(-1, tile, tile, out, out, N)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def columns_of(x, reach):
    """x (C, T, T, R, S, N) -> (C, reach, T, reach, T, h, w, N): for each of h by w tiles, those that it depends on."""
    out = x.shape[3] - reach + 1
    pieces = [[x[:, :, :, r : r + out, s : s + out] for s in range(reach)] for r in range(reach)]
    return jnp.stack([jnp.stack(row, axis=2) for row in pieces], axis=1)


def columns_of_forward(x, reach):
    return columns_of(x, reach), None


def columns_of_backward(reach, _, dy):
    """Down the columns first, then along the rows: 2 reach pieces to add, not reach^2."""
    rows = overlapped([dy[:, r] for r in range(reach)], axis=4)  # (C, T, reach, T, R, w, N)
    return (overlapped([rows[:, :, s] for s in range(reach)], axis=4),)  # (C, T, T, R, S, N)


columns_of.defvjp(columns_of_forward, columns_of_backward)


def overlapped(pieces, axis):
    """The sum of the pieces, each one place further along the axis than the one before."""
    last = len(pieces) - 1
    widths = [[(0, 0)] * axis + [(i, last - i)] + [(0, 0)] * (pieces[0].ndim - axis - 1) for i in range(last + 1)]
    return sum(map(jnp.pad, pieces, widths))


@jax.custom_vjp
def average_pool(x):
    """(C, T, T, R, S, N) -> (C, T/2, T/2, R, S, N): the average of each 2x2 square."""
    C, tile = x.shape[:2]
    squares = x.reshape(C, tile // 2, 2, tile // 2, 2, *x.shape[3:])
    rows = squares[:, :, 0] + squares[:, :, 1]  # (C, T/2, T/2, 2, R, S, N)
    return (rows[:, :, :, 0] + rows[:, :, :, 1]) * 0.25


def average_pool_forward(x):
    return average_pool(x), None


def average_pool_backward(_, dy):
    C, half = dy.shape[:2]
    squares = jnp.broadcast_to(dy[:, :, None, :, None] * 0.25, (C, half, 2, half, 2, *dy.shape[3:]))
    return (squares.reshape(C, 2 * half, 2 * half, *dy.shape[3:]),)


average_pool.defvjp(average_pool_forward, average_pool_backward)


def untiled(x):
    """(C, T, T, R, S, N) -> (N, H, W, C)."""
    C, tile, _, rows, _, N = x.shape
    return x.transpose(5, 3, 1, 4, 2, 0).reshape(N, rows * tile, rows * tile, C)


# --- batch norm and sigmoid ---


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def norm_sigmoid(x, bias, gamma, beta, eps, axis):
    """(the sigmoid of batch norm of x + bias, mean, var), x (C, P, N). Gradients come from the first alone.

    axis: as in `TiledLeNet`, x being this device's share. The gradients of bias, gamma and beta are of the share too.
    """
    return norm_sigmoid_forward(x, bias, gamma, beta, eps, axis)[0]


def norm_sigmoid_forward(x, bias, gamma, beta, eps, axis):
    mean, var = moments(x, axis)  # (C,), (C,)
    scale = jnp.sqrt(1 / (var + eps))  # (C,)
    s = sigmoid((x - wide(mean)) * wide(gamma * scale) + wide(beta))  # (C, P, N)
    return (s, mean + bias, var), (x, s, gamma, mean, scale)


def norm_sigmoid_backward(eps, axis, kept, cotangents):  # noqa: ARG001 - custom_vjp gives it
    x, s, gamma, mean, scale = kept
    n = x[0].size
    dy = cotangents[0] * (s * (1 - s))  # (C, P, N)
    x_hat = (x - wide(mean)) * wide(scale)  # (C, P, N)
    dgamma, dbeta = total(dy * x_hat), total(dy)  # (C,), (C,)
    sums = jnp.stack([dgamma, dbeta])
    of_x_hat, of_one = (jax.lax.pmean(sums, axis) if axis else sums) / n  # (C,), (C,)
    dx = wide(gamma * scale) * (dy - wide(of_one) - x_hat * wide(of_x_hat))  # (C, P, N)
    return dx, total(dx), dgamma, dbeta


norm_sigmoid.defvjp(norm_sigmoid_forward, norm_sigmoid_backward)


def moments(x, axis):
    """x (C, P, N) -> mean and variance (C,), two passes; over all devices' shares, which are of one size."""
    n = x[0].size
    mean = total(x) / n
    var = total(jnp.square(x - wide(mean))) / n
    if not axis:
        return mean, var
    means, variances = jnp.moveaxis(jax.lax.all_gather(jnp.stack([mean, var]), axis), 0, 1)  # (devices, C) each
    mean = means.mean(axis=0)
    return mean, (variances + jnp.square(means - mean)).mean(axis=0)


def total(x):
    """(C, P, N) -> (C,), in small sums of sums: few roundings in a row."""
    C, P, N = x.shape
    few = SUMMED if P % SUMMED == 0 else 1
    return x.reshape(C, few, P // few, N).sum(axis=1).sum(axis=1).sum(axis=1)


def wide(per_channel):
    return per_channel[:, None, None]  # (C, 1, 1)


def sigmoid(x):
    """1/(1 + exp(-x)), by the tanh, which XLA has as a vector's."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5
