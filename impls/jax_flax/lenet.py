"""LeNet with batch norm after every hidden layer (d2l section 8.5) as a flax.nnx module.

Weights come and go as one flat dict, name -> array, in PyTorch's layout ((out, in, 5, 5) and (out, in)); the
module's variables carry the same names. Inside, the channels are the last axis: an image is (N, H, W, C), a
convolution's weight (5, 5, in, out) and a dense layer's (in, out).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from impls.jax_flax.batch_norm import BatchNorm
from reference.conventions import D2L

KERNEL = 5
CLASSES = 10
BLOCK = 4  # output columns in one product of `convolution`
CONVENTIONS = replace(D2L, channel_axis=-1)
FIELDS = {
    **dict.fromkeys(("conv1", "conv2", "dense1", "dense2", "dense3"), ("weight", "bias")),
    **dict.fromkeys(("bn1", "bn2", "bn3", "bn4"), ("gamma", "beta", "moving_mean", "moving_var")),
}

Weights = dict[str, np.ndarray]


class LeNet(nnx.Module):
    """The network with its weights and moving statistics. `train()` and `eval()` set batch norm's mode."""

    def __init__(self, weights: Weights, dtype: jax.typing.DTypeLike = jnp.float32, norm: Callable = BatchNorm) -> None:
        """norm: a class like `BatchNorm`."""
        self.conv1 = Convolution(1, 6, dtype)
        self.bn1 = norm(6, conventions=CONVENTIONS, dtype=dtype)
        self.conv2 = Convolution(6, 16, dtype)
        self.bn2 = norm(16, conventions=CONVENTIONS, dtype=dtype)
        self.dense1 = Dense(256, 120, dtype)
        self.bn3 = norm(120, conventions=CONVENTIONS, dtype=dtype)
        self.dense2 = Dense(120, 84, dtype)
        self.bn4 = norm(84, conventions=CONVENTIONS, dtype=dtype)
        self.dense3 = Dense(84, CLASSES, dtype)
        self.load_weights(weights)

    def __call__(self, images):
        """images (N, 28, 28), pixels in [0, 1] -> logits (N, 10)."""
        return self.activations(images)["dense3"]

    def activations(self, images):
        """What every hidden layer passes on, by its norm's name, and the logits, as dense3's."""
        x = images[..., None]  # (N, 28, 28, 1)
        bn1 = jax.nn.sigmoid(self.bn1(self.conv1(x)))  # (N, 24, 24, 6)
        x = average_pool(bn1)  # (N, 12, 12, 6)
        bn2 = jax.nn.sigmoid(self.bn2(self.conv2(x)))  # (N, 8, 8, 16)
        x = average_pool(bn2)  # (N, 4, 4, 16)
        x = x.reshape(-1, 256)  # (N, 256), in (H, W, C) order: dense1's weight is stored to match
        bn3 = jax.nn.sigmoid(self.bn3(self.dense1(x)))  # (N, 120)
        bn4 = jax.nn.sigmoid(self.bn4(self.dense2(bn3)))  # (N, 84)
        return {"bn1": bn1, "bn2": bn2, "bn3": bn3, "bn4": bn4, "dense3": self.dense3(bn4)}  # logits: (N, 10)

    def load_weights(self, weights: Weights) -> None:
        """Take copies of `weights`, in the dtype that the module was made with."""
        for name, variable in self.named_variables():
            own = to_own_layout(name, weights[name])
            if own.shape != variable.shape:
                raise ValueError(f"{name}: expected shape {variable.shape} inside, got {own.shape}")
            variable[...] = jnp.array(own, variable.dtype)

    def save_weights(self) -> Weights:
        """Copies of the parameters and the moving statistics, as NumPy arrays, under the names given above."""
        return {name: to_torch_layout(name, np.array(variable[...])) for name, variable in self.named_variables()}

    def named_variables(self) -> list[tuple[str, nnx.Variable]]:
        return [
            (f"{layer}.{field}", getattr(getattr(self, layer), field))
            for layer, fields in FIELDS.items()
            for field in fields
        ]


# --- layers ---


class Convolution(nnx.Module):
    """A 5x5 convolution without padding. Starts at zero: LeNet loads its weights."""

    def __init__(self, inputs: int, outputs: int, dtype: jax.typing.DTypeLike) -> None:
        self.weight = nnx.Param(jnp.zeros((KERNEL, KERNEL, inputs, outputs), dtype))
        self.bias = nnx.Param(jnp.zeros(outputs, dtype))

    def __call__(self, x):
        return convolution(x, self.weight[...]) + self.bias[...]  # (N, H-4, W-4, outputs)


class Dense(nnx.Module):
    """x @ weight + bias. Starts at zero: LeNet loads its weights."""

    def __init__(self, inputs: int, outputs: int, dtype: jax.typing.DTypeLike) -> None:
        self.weight = nnx.Param(jnp.zeros((inputs, outputs), dtype))
        self.bias = nnx.Param(jnp.zeros(outputs, dtype))

    def __call__(self, x):
        return x @ self.weight[...] + self.bias[...]  # (N, outputs)


def convolution(x, weight):
    """x (N, H, W, C), weight (5, 5, C, K) -> (N, H-4, W-4, K), without padding, as one matmul.

    In a training it is several times as fast as XLA's own convolution on a CPU, whose backend is slow at them inside a
    loop, and 1.3 times on an H200, where kernels for one and six channels leave most of the chip idle.

    A row of output pixels depends on five rows of input pixels, by a matrix in which the kernel repeats along a
    diagonal band (a Toeplitz matrix). Most of its entries are zero; a large matmul is fast enough to afford it.
    A row longer than BLOCK is cut into blocks, which leaves fewer zeros.
    """
    N, H, W, C = x.shape
    K = weight.shape[-1]
    h, w = H - KERNEL + 1, W - KERNEL + 1
    block = BLOCK if w % BLOCK == 0 else w  # output columns
    wide = block + KERNEL - 1  # the input columns that they depend on
    band = np.stack([np.eye(wide, block, -j) for j in range(KERNEL)])  # (5, wide, block): 1 where in = out + j
    matrix = jnp.einsum("ijck,jvw->ivcwk", weight, band.astype(x.dtype))  # (5, wide, C, block, K)
    blocks = jnp.stack([x[:, :, b : b + wide] for b in range(0, w, block)], axis=2)  # (N, H, blocks, wide, C)
    rows = jnp.stack([blocks[:, i : i + h] for i in range(KERNEL)], axis=3)  # (N, h, blocks, 5, wide, C)
    y = rows.reshape(-1, KERNEL * wide * C) @ matrix.reshape(KERNEL * wide * C, block * K)  # (N*h*blocks, block*K)
    return y.reshape(N, h, w, K)


def average_pool(x):
    """(N, H, W, C) -> (N, H/2, W/2, C): the average of each 2x2 square."""
    rows = x[:, 0::2] + x[:, 1::2]  # (N, H/2, W, C)
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * 0.25  # (N, H/2, W/2, C)


def cross_entropy(logits, labels):
    """logits (N, 10), labels (N,) integers -> the mean of -log softmax at the label."""
    log_softmax = jax.nn.log_softmax(logits)  # (N, 10)
    return -jnp.take_along_axis(log_softmax, labels[:, None].astype(jnp.int32), axis=1).mean()


# --- from and to PyTorch's layout ---


def to_own_layout(name: str, array: np.ndarray) -> np.ndarray:
    if name == "dense1.weight":  # its inputs are a flattened image: (C, H, W) -> (H, W, C)
        array = array.reshape(-1, 16, 4, 4).transpose(0, 2, 3, 1).reshape(-1, 256)  # (120, 256)
    if name.endswith(".weight"):
        return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T  # (5, 5, in, out) or (in, out)
    return array


def to_torch_layout(name: str, array: np.ndarray) -> np.ndarray:
    if name.endswith(".weight"):
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T  # (out, in, 5, 5) or (out, in)
    if name == "dense1.weight":  # (H, W, C) -> (C, H, W)
        array = array.reshape(-1, 4, 4, 16).transpose(0, 3, 1, 2).reshape(-1, 256)  # (120, 256)
    return np.ascontiguousarray(array)
