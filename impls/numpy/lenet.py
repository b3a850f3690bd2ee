"""LeNet with batch norm after every hidden layer (d2l section 8.5), in NumPy, for speed: see `layers.py`.

The same network as the reference's, which is written to be read. Weights come and go as one flat dict, in PyTorch's
layout. A batch is computed in two halves, which two threads may do at once (`threads.py`): they meet where a batch norm
needs the sums of both, and add these in the same order whoever computes what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from impls.numpy.layers import NormSigmoid, TiledConvolution, pool_backward, pooled, untiled
from impls.numpy.threads import Part, Run, in_turn

CLASSES = 10
NORMS = {"bn1": "conv1", "bn2": "conv2", "bn3": "dense1", "bn4": "dense2"}
PARTS = ("gamma", "beta", "moving_mean", "moving_var")

Weights = dict[str, np.ndarray]


class LeNet:
    """The weights with the moving statistics, and the buffers for each batch size that has been asked for."""

    def __init__(self, weights: Weights, dtype: np.typing.DTypeLike, run: Run = in_turn) -> None:
        self.weights = {name: array.astype(dtype) for name, array in weights.items()}
        self.run = run
        self.passes: dict[int, Pass] = {}

    def load_weights(self, weights: Weights) -> None:
        for name, array in weights.items():
            self.weights[name][...] = array

    def save_weights(self) -> Weights:
        return {name: array.copy() for name, array in self.weights.items()}

    def of_batch(self, examples: int) -> Pass:
        if examples not in self.passes:
            self.passes[examples] = Pass(self.weights, examples, self.run)
        return self.passes[examples]

    def descend(self, gradients: Weights, learning_rate: float) -> None:
        for name, gradient in gradients.items():
            gradient *= gradient.dtype.type(learning_rate)
            self.weights[name] -= gradient


class Pass:
    """Forward and backward over batches of one size. What it returns is in buffers that the next call overwrites."""

    def __init__(self, weights: Weights, n: int, run: Run) -> None:
        self.weights, self.run = weights, run
        self.parts = [slice(0, n - n // 2), slice(n - n // 2, n)][: min(n, 2)]
        self.halves = [Half(weights, part.stop - part.start) for part in self.parts]

    def forward(self, images: np.ndarray, *, training: bool) -> np.ndarray:
        """images (n, 28, 28), bytes -> logits (10, n)."""
        logits = self.together(lambda half, part: half.forward(images[part], training=training))
        if training:
            for name, layer in NORMS.items():
                self.halves[0].norms[name].move(self.weights[f"{layer}.bias"])
        return np.concatenate(logits, axis=1)

    def backward(self, dlogits: np.ndarray) -> Weights:
        """dlogits (10, n) -> the gradient of every parameter."""
        gradients, *others = self.together(lambda half, part: half.backward(dlogits[:, part]))
        for other in others:
            for name, gradient in gradients.items():
                gradient += other[name]
        return gradients

    def activations(self) -> Weights:
        """What `forward` has just made of the hidden layers, after their sigmoids: (n, C, H, W) or (n, C)."""
        of_halves = [half.activations() for half in self.halves]
        return {name: np.concatenate([half[name] for half in of_halves]) for name in NORMS}

    def together(self, start: Callable[[Half, slice], Part]) -> list[Any]:
        """What the halves return."""
        return self.run([start(half, part) for half, part in zip(self.halves, self.parts, strict=True)])


class Half:
    """Forward and backward over half a batch of n examples, meeting the other half at each batch norm."""

    def __init__(self, weights: Weights, n: int) -> None:
        self.weights = weights
        self.dtype = weights["conv1.weight"].dtype
        self.pixels = self.empty(1, 4, 4, 7, 7, n)
        self.conv1 = TiledConvolution(weights["conv1.weight"], tile=4, rows=7, examples=n)
        self.conv2 = TiledConvolution(weights["conv2.weight"], tile=2, rows=6, examples=n)
        self.norms = {
            "bn1": self.norm("bn1", (6, 576, n)),
            "bn2": self.norm("bn2", (16, 64, n)),
            "bn3": self.norm("bn3", (120, 1, n)),
            "bn4": self.norm("bn4", (84, 1, n)),
        }
        self.pooled1, self.pooled2 = self.empty(6, 2, 2, 6, 6, n), self.empty(16, 1, 1, 4, 4, n)
        self.x = {"dense1": self.pooled2.reshape(256, n), "dense2": self.empty(120, n), "dense3": self.empty(84, n)}
        self.y = {"dense1": self.empty(120, n), "dense2": self.empty(84, n), "dense3": self.empty(CLASSES, n)}
        self.dweight = {name: np.empty_like(weights[f"{name}.weight"]) for name in self.x}

    def empty(self, *shape: int) -> np.ndarray:
        return np.empty(shape, self.dtype)

    def norm(self, name: str, shape: tuple[int, int, int]) -> NormSigmoid:
        gamma, beta, moving_mean, moving_var = (self.weights[f"{name}.{part}"] for part in PARTS)
        return NormSigmoid(gamma, beta, moving_mean, moving_var, shape)

    def forward(self, images: np.ndarray, *, training: bool) -> Part:
        """images (n, 28, 28), bytes -> logits (10, n)."""
        tiles = images.reshape(-1, 7, 4, 7, 4).transpose(2, 4, 1, 3, 0)  # (4, 4, 7, 7, n)
        np.divide(tiles, 255, out=self.pixels[0], dtype=self.dtype)
        t = yield from self.norm_sigmoid("bn1", self.conv1.forward(self.pixels), training)  # (6, 4, 4, 6, 6, n)
        x = pooled(t, self.pooled1)  # (6, 2, 2, 6, 6, n)
        t = yield from self.norm_sigmoid("bn2", self.conv2.forward(x), training)  # (16, 2, 2, 4, 4, n)
        pooled(t, self.pooled2)  # (16, 1, 1, 4, 4, n), and with that (256, n)
        for name, norm, following in (("dense1", "bn3", "dense2"), ("dense2", "bn4", "dense3")):
            y = np.matmul(self.weights[f"{name}.weight"], self.x[name], out=self.y[name])  # (out, n)
            x = self.x[following]  # (out, n)
            t = yield from self.norm_sigmoid(norm, y, training)  # (out, n)
            np.multiply(t, 0.5, out=x)
            x += 0.5
        logits = np.matmul(self.weights["dense3.weight"], self.x["dense3"], out=self.y["dense3"])  # (10, n)
        logits += self.weights["dense3.bias"][:, None]
        return logits

    def norm_sigmoid(self, name: str, x: np.ndarray, training: bool) -> Part:
        """x of any shape (C, ..., n) -> t of that shape."""
        norm = self.norms[name]
        values = x.reshape(norm.t.shape)
        if training:
            batch = yield norm.moments(values)
            return norm.train(batch).reshape(x.shape)
        return norm.predict(values, self.weights[f"{NORMS[name]}.bias"]).reshape(x.shape)

    def backward(self, dlogits: np.ndarray) -> Part:
        """dlogits (10, n) -> what this half adds to the gradient of every parameter."""
        gradients: Weights = {}
        d = self.dense_backward("dense3", dlogits, gradients)  # (84, n)
        for name, norm in (("dense2", "bn4"), ("dense1", "bn3")):
            slope = self.norms[norm].slope()  # (out, 1, n)
            slope *= (d * 0.25)[:, None]
            dy = yield from self.norm_backward(norm, slope, gradients)  # (out, 1, n)
            d = self.dense_backward(name, dy[:, 0], gradients)  # (in, n)
        d = pool_backward(d.reshape(self.pooled2.shape), self.tiles("bn2", self.conv2))  # (16, 2, 2, 4, 4, n)
        d = yield from self.norm_backward("bn2", d, gradients)
        gradients["conv2.weight"] = self.conv2.backward_weight(d)
        self.conv2.backward_input(d, self.pooled1)  # (6, 2, 2, 6, 6, n), in place of what it is the gradient of
        d = pool_backward(self.pooled1, self.tiles("bn1", self.conv1))  # (6, 4, 4, 6, 6, n)
        d = yield from self.norm_backward("bn1", d, gradients)
        gradients["conv1.weight"] = self.conv1.backward_weight(d)
        return gradients

    def activations(self) -> Weights:
        """As `Pass.activations`."""
        images = {"bn1": self.conv1, "bn2": self.conv2}
        sigmoids = {name: (norm.t + 1) / 2 for name, norm in self.norms.items()}
        return {
            name: untiled(s.reshape(images[name].y.shape)) if name in images else s[:, 0].T
            for name, s in sigmoids.items()
        }

    def tiles(self, norm: str, convolution: TiledConvolution) -> np.ndarray:
        return self.norms[norm].slope().reshape(convolution.y.shape)

    def norm_backward(self, name: str, dy: np.ndarray, gradients: Weights) -> Part:
        """dy becomes dx; its sum is the gradient of the bias before it."""
        norm = self.norms[name]
        rows = dy.reshape(norm.t.shape)
        gradients[f"{name}.gamma"], gradients[f"{name}.beta"] = own = norm.sums(rows)
        batch = yield own
        dx = norm.backward(rows, batch)
        gradients[f"{NORMS[name]}.bias"] = dx.reshape(len(dx), -1).sum(axis=1)
        return dx.reshape(dy.shape)

    def dense_backward(self, name: str, dy: np.ndarray, gradients: Weights) -> np.ndarray:
        """The gradient by the input, in its place."""
        x = self.x[name]
        gradients[f"{name}.weight"] = np.matmul(dy, x.T, out=self.dweight[name])
        if name == "dense3":
            gradients["dense3.bias"] = dy.sum(axis=1)
        return np.matmul(self.weights[f"{name}.weight"].T, dy, out=x)
