"""LeNet with batch norm after every hidden layer (d2l section 8.5), forward and backward, in NumPy.

Weights are one flat dict, name -> array, in PyTorch's layout; `initial_weights` lists the names. The
arithmetic runs in the dtype that the network was made with, whichever float that is.

Inside, the batch is the last axis: images are (C, H, W, N) and vectors (features, N). A convolution or a
dense layer is then one matmul, weight @ columns; flattening is a reshape in (C, H, W) order; and the (n, C)
rows that batch norm takes are a transposed view, so that nothing is copied between layers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reference.batch_norm import BatchNorm
from reference.conventions import D2L

KERNEL = 5
CLASSES = 10
NORMS = {"bn1": 6, "bn2": 16, "bn3": 120, "bn4": 84}  # layer -> channels

Weights = dict[str, np.ndarray]


def initial_weights(seed: int) -> Weights:
    """The starting weights, float64: Xavier-uniform weights, biases uniform within 1/sqrt(fan_in).

    Xavier-uniform (Glorot and Bengio 2010) is within sqrt(6 / (fan_in + fan_out)). Biases start as PyTorch
    starts them, not at zero, so that a bias in the wrong place shows. Batch norm starts as the identity.
    """
    rng = np.random.default_rng(seed)
    return {
        **_initial_layer(rng, "conv1", (6, 1, KERNEL, KERNEL)),
        **_initial_norm("bn1"),
        **_initial_layer(rng, "conv2", (16, 6, KERNEL, KERNEL)),
        **_initial_norm("bn2"),
        **_initial_layer(rng, "dense1", (120, 256)),
        **_initial_norm("bn3"),
        **_initial_layer(rng, "dense2", (84, 120)),
        **_initial_norm("bn4"),
        **_initial_layer(rng, "dense3", (CLASSES, 84)),
    }


def _initial_layer(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Weights:
    """A convolution of shape (out, in, 5, 5) or a dense layer of shape (out, in)."""
    taps = int(np.prod(shape[2:]))  # 25, or 1 for a dense layer
    fan_in, fan_out = shape[1] * taps, shape[0] * taps
    limit = np.sqrt(6 / (fan_in + fan_out))
    weight = rng.uniform(-limit, limit, shape)
    bias = rng.uniform(-1, 1, shape[0]) / np.sqrt(fan_in)
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def _initial_norm(name: str) -> Weights:
    zeros, ones = np.zeros(NORMS[name]), np.ones(NORMS[name])
    return {
        f"{name}.gamma": ones,
        f"{name}.beta": zeros,
        f"{name}.moving_mean": zeros.copy(),
        f"{name}.moving_var": ones.copy(),
    }


class LeNet:
    """The network with its weights and moving statistics. Its layers see images as (1, 28, 28, N)."""

    def __init__(self, weights: Weights, dtype: np.typing.DTypeLike = np.float64, norm: Callable = BatchNorm) -> None:
        """norm(channels, conventions=, dtype=) makes a layer with the attributes and methods of `BatchNorm`."""
        self.norms = {name: norm(channels, conventions=D2L, dtype=dtype) for name, channels in NORMS.items()}
        self.load_weights(weights, dtype)

    def load_weights(self, weights: Weights, dtype: np.typing.DTypeLike) -> None:
        """Take copies of `weights` in `dtype`. The parameters of a norm are shared with it, not copied."""
        copies = {name: array.astype(dtype) for name, array in weights.items()}
        for name, norm in self.norms.items():
            norm.average_mean = copies.pop(f"{name}.moving_mean")
            norm.average_var = copies.pop(f"{name}.moving_var")
            norm.gamma, norm.beta = copies[f"{name}.gamma"], copies[f"{name}.beta"]
        self.parameters = copies

    def save_weights(self) -> Weights:
        """Copies of the parameters and the moving statistics, under the names of `initial_weights`."""
        weights = dict(self.parameters)
        for name, norm in self.norms.items():
            weights[f"{name}.moving_mean"] = norm.moving_mean
            weights[f"{name}.moving_var"] = norm.moving_var
        return {name: array.copy() for name, array in weights.items()}

    def forward(self, images: np.ndarray, *, training: bool) -> tuple[np.ndarray, dict]:
        """images (1, 28, 28, N) -> logits (10, N), and what `backward` needs."""
        cache: dict = {}
        x = self._conv("conv1", images, cache)  # (6, 24, 24, N)
        x = self._norm_sigmoid("bn1", x, cache, training)  # (6, 24, 24, N)
        x = average_pool(x)  # (6, 12, 12, N)
        x = self._conv("conv2", x, cache)  # (16, 8, 8, N)
        x = self._norm_sigmoid("bn2", x, cache, training)  # (16, 8, 8, N)
        x = average_pool(x)  # (16, 4, 4, N)
        x = x.reshape(-1, x.shape[-1])  # (256, N)
        x = self._dense("dense1", x, cache)  # (120, N)
        x = self._norm_sigmoid("bn3", x, cache, training)  # (120, N)
        x = self._dense("dense2", x, cache)  # (84, N)
        x = self._norm_sigmoid("bn4", x, cache, training)  # (84, N)
        return self._dense("dense3", x, cache), cache  # (10, N)

    def backward(self, dlogits: np.ndarray, cache: dict) -> Weights:
        """dlogits (10, N) -> the gradient of every parameter, by name. `cache`: of a forward in training."""
        grads: Weights = {}
        d = self._dense_backward("dense3", dlogits, cache, grads)  # (84, N)
        d = self._norm_sigmoid_backward("bn4", d, cache, grads)  # (84, N)
        d = self._dense_backward("dense2", d, cache, grads)  # (120, N)
        d = self._norm_sigmoid_backward("bn3", d, cache, grads)  # (120, N)
        d = self._dense_backward("dense1", d, cache, grads)  # (256, N)
        d = average_pool_backward(d.reshape(16, 4, 4, -1))  # (16, 8, 8, N)
        d = self._norm_sigmoid_backward("bn2", d, cache, grads)  # (16, 8, 8, N)
        self._conv_backward_parameters("conv2", d, cache, grads)
        d = conv_backward_input(d, self.parameters["conv2.weight"])  # (6, 12, 12, N)
        d = average_pool_backward(d)  # (6, 24, 24, N)
        d = self._norm_sigmoid_backward("bn1", d, cache, grads)  # (6, 24, 24, N)
        self._conv_backward_parameters("conv1", d, cache, grads)  # the gradient of the images is not needed
        return grads

    # --- layers by name: each caches what its backward needs ---

    def _conv(self, name: str, x: np.ndarray, cache: dict) -> np.ndarray:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        columns = patches(x)  # (C * 25, h * w * N)
        y = weight.reshape(len(weight), -1) @ columns  # (K, h * w * N)
        y += bias[:, None]
        cache[name] = columns
        h, w = x.shape[1] - KERNEL + 1, x.shape[2] - KERNEL + 1
        return y.reshape(len(weight), h, w, x.shape[-1])  # (K, h, w, N)

    def _conv_backward_parameters(self, name: str, dy: np.ndarray, cache: dict, grads: Weights) -> None:
        dy = dy.reshape(len(dy), -1)  # (K, h * w * N)
        dweight = dy @ cache[name].T  # (K, C * 25)
        grads[f"{name}.weight"] = dweight.reshape(self.parameters[f"{name}.weight"].shape)  # (K, C, 5, 5)
        grads[f"{name}.bias"] = dy.sum(axis=1)  # (K,)

    def _norm_sigmoid(self, name: str, x: np.ndarray, cache: dict, training: bool) -> np.ndarray:
        norm = self.norms[name]
        rows = x.reshape(len(x), -1).T  # (n, C), a view
        y, norm_cache = norm.train(rows) if training else norm.eval(rows)  # (n, C)
        s = sigmoid(y)  # (n, C)
        cache[name] = s, norm_cache
        return s.T.reshape(x.shape)

    def _norm_sigmoid_backward(self, name: str, dy: np.ndarray, cache: dict, grads: Weights) -> np.ndarray:
        s, norm_cache = cache[name]
        rows = dy.reshape(len(dy), -1).T * s * (1 - s)  # (n, C)
        dx, dgamma, dbeta = self.norms[name].train_backward(rows, norm_cache)  # (n, C), (C,), (C,)
        grads[f"{name}.gamma"], grads[f"{name}.beta"] = dgamma, dbeta
        return dx.T.reshape(dy.shape)

    def _dense(self, name: str, x: np.ndarray, cache: dict) -> np.ndarray:
        cache[name] = x
        return self.parameters[f"{name}.weight"] @ x + self.parameters[f"{name}.bias"][:, None]  # (out, N)

    def _dense_backward(self, name: str, dy: np.ndarray, cache: dict, grads: Weights) -> np.ndarray:
        grads[f"{name}.weight"] = dy @ cache[name].T  # (out, in)
        grads[f"{name}.bias"] = dy.sum(axis=1)  # (out,)
        return self.parameters[f"{name}.weight"].T @ dy  # (in, N)


# --- layers without parameters ---


def patches(x: np.ndarray) -> np.ndarray:
    """(C, H, W, N) -> (C * 25, h * w * N): one column an output pixel, one row a weight of the kernel."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (KERNEL, KERNEL), axis=(1, 2))  # (C, h, w, N, 5, 5)
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(len(x) * KERNEL**2, -1)


def conv_backward_input(dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """dy (K, h, w, N), weight (K, C, 5, 5) -> dx (C, H, W, N): shares, added to the pixels they came from."""
    K, h, w, N = dy.shape
    C = weight.shape[1]
    shares = weight.reshape(K, -1).T @ dy.reshape(K, -1)  # (C * 25, h * w * N)
    shares = shares.reshape(C, KERNEL, KERNEL, h, w, N)
    dx = np.zeros((C, h + KERNEL - 1, w + KERNEL - 1, N), dy.dtype)  # (C, H, W, N)
    for i, j in np.ndindex(KERNEL, KERNEL):
        dx[:, i : i + h, j : j + w] += shares[:, i, j]  # (C, h, w, N)
    return dx


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1/(1 + exp(-x)), written with tanh, which cannot overflow."""
    y = np.tanh(0.5 * x)
    y += 1
    y *= 0.5
    return y


def average_pool(x: np.ndarray) -> np.ndarray:
    """(C, H, W, N) -> (C, H/2, W/2, N): the average of each 2x2 square."""
    total = x[:, 0::2, 0::2] + x[:, 0::2, 1::2] + x[:, 1::2, 0::2] + x[:, 1::2, 1::2]
    total *= 0.25
    return total


def average_pool_backward(dy: np.ndarray) -> np.ndarray:
    """(C, H/2, W/2, N) -> (C, H, W, N): each pixel takes a quarter."""
    return np.repeat(np.repeat(0.25 * dy, 2, axis=1), 2, axis=2)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """logits (10, N), labels (N,) -> the mean of -log softmax at the label, and its gradient (10, N)."""
    columns = np.arange(len(labels))
    shifted = logits - logits.max(axis=0)  # (10, N), so that exp cannot overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=0))  # (10, N)
    dlogits = np.exp(log_softmax)  # (10, N)
    dlogits[labels, columns] -= 1
    return -log_softmax[labels, columns].mean(), dlogits / dlogits.dtype.type(len(labels))
