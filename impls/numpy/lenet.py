"""LeNet with batch norm after every hidden layer (d2l section 8.5), in NumPy, for speed: see `layers.py`.

The same network as the reference's, which is written to be read. Weights come and go as one flat dict, in PyTorch's
layout. The convolutions are computed in two halves of a batch, which two threads may do at once (`threads.py`): they
meet where a batch norm needs the sums of both, and these are added in the same order whoever computes what. The dense
layers are computed at once: their arrays are so small that two threads would mostly wait for Python's lock.
"""

from __future__ import annotations

import numpy as np

from impls.numpy.buffers import Buffers, in_one_vector
from impls.numpy.layers import BatchNorm, NormSigmoid, Pooling, TiledConvolution, Weights, untiled
from impls.numpy.threads import Part, Run, in_turn
from reference.conventions import D2L

CLASSES = 10
NORMS = {"bn1": ("conv1", 1 / 16), "bn2": ("conv2", 1 / 16), "bn3": ("dense1", 1 / 4), "bn4": ("dense2", 1 / 4)}
"""The layer before, and what is left out of the gradient: a quarter of the sigmoid's slope, and of a pool's average."""
OF_HALVES = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "dense1.weight")
"""Whose gradients are found by halves."""


class LeNet:
    """The weights with the moving statistics, and the buffers for each batch size that has been asked for."""

    def __init__(self, weights: Weights, dtype: np.typing.DTypeLike, run: Run = in_turn) -> None:
        self.parameters, parameters = in_one_vector(trained(weights), dtype)
        self.moving, moving = in_one_vector(averaged(weights), dtype)
        both = parameters | moving
        self.weights = {name: both[name] for name in weights}
        self.load_weights(weights)
        self.run, self.buffers = run, Buffers(dtype)
        self.passes: dict[int, Pass] = {}

    def load_weights(self, weights: Weights) -> None:
        for name, array in weights.items():
            self.weights[name][...] = array

    def save_weights(self) -> Weights:
        return {name: array.copy() for name, array in self.weights.items()}

    def of_batch(self, examples: int) -> Pass:
        if examples not in self.passes:
            self.passes[examples] = Pass(self.weights, examples, self.run, self.buffers)
        return self.passes[examples]

    def step(self, images: np.ndarray, labels: np.ndarray, learning_rate: float) -> tuple[np.floating, np.ndarray]:
        """One of SGD on images (n, 28, 28), bytes. Returns the loss and the logits (10, n) before the update."""
        of_batch = self.of_batch(len(images))
        logits = of_batch.forward(images, training=True)  # (10, n)
        loss, dlogits = cross_entropy(logits, labels)  # (), (10, n)
        of_batch.backward(dlogits)
        number = self.parameters.dtype.type
        of_batch.gradient *= number(learning_rate)
        self.parameters -= of_batch.gradient
        keep = number(D2L.default_momentum)
        self.moving[...] = keep * self.moving + (1 - keep) * of_batch.moving
        return loss, logits


def trained(weights: Weights) -> Weights:
    """Those that have a gradient, and first of all those that halves find."""
    return of_halves(weights) | {name: array for name, array in weights.items() if "moving" not in name}


def of_halves(weights: Weights) -> Weights:
    return {name: weights[name] for name in OF_HALVES}


def averaged(weights: Weights) -> Weights:
    """The moving statistics."""
    return {name: array for name, array in weights.items() if "moving" in name}


class Pass:
    """Forward and backward over batches of one size. What it returns is in buffers that the next call overwrites.

    After backward `gradient` is that of every parameter, and `moving` the batch's mean and variance of every
    norm, all one behind the other as in `LeNet`.
    """

    def __init__(self, weights: Weights, n: int, run: Run, buffers: Buffers) -> None:
        self.run = run
        self.gradient, self.gradients = in_one_vector(trained(weights), buffers.dtype)
        self.share, shares = in_one_vector(of_halves(weights), buffers.dtype)  # the second half's
        self.moving, of_batch = in_one_vector(averaged(weights), buffers.dtype)
        self.norms = {
            norm: BatchNorm(layer, norm, lacks, weights, self.gradients, of_batch)
            for norm, (layer, lacks) in NORMS.items()
        }
        self.dense = DenseLayers(weights, self.gradients, self.norms, n, buffers)
        self.parts = [slice(0, n - n // 2), slice(n - n // 2, n)][: min(n, 2)]
        self.halves = [
            Half(weights, of_half, self.norms, self.dense, part)
            for part, of_half in zip(self.parts, (self.gradients, shares), strict=False)
        ]

    def forward(self, images: np.ndarray, *, training: bool) -> np.ndarray:
        """images (n, 28, 28), bytes -> logits (10, n)."""
        if not training:
            for norm in self.norms.values():
                norm.predict()
        self.run([half.forward(images[half.part], training=training) for half in self.halves])
        return self.dense.forward(training=training)

    def backward(self, dlogits: np.ndarray) -> Weights:
        """dlogits (10, n) -> the gradient of every parameter."""
        self.dense.backward(dlogits)
        self.run([half.backward() for half in self.halves])
        self.gradient[: self.share.size] += self.share
        return self.gradients

    def activations(self) -> Weights:
        """What `forward` has just made of the hidden layers, after their sigmoids: (n, C, H, W) or (n, C)."""
        of_halves = [half.activations() for half in self.halves]
        images = {name: np.concatenate([half[name] for half in of_halves]) for name in of_halves[0]}
        return images | self.dense.activations()


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """logits (10, n), labels (n,) -> the mean of -log softmax at the label, and its gradient (10, n)."""
    n = logits.dtype.type(len(labels))
    true = labels == np.arange(CLASSES)[:, None]  # (10, n)
    shifted = logits - np.maximum.reduce(logits)  # (10, n), so that exp cannot overflow
    dlogits = np.exp(shifted)  # (10, n)
    total = np.add.reduce(dlogits)  # (n,)
    shifted *= true
    loss = (np.add.reduce(np.log(total)) - np.add.reduce(shifted, axis=None)) / n
    dlogits /= total  # softmax
    dlogits -= true
    dlogits /= n
    return loss, dlogits


class Half:
    """The convolutions, and the first dense layer's product, of half a batch of n examples."""

    def __init__(
        self, weights: Weights, gradients: Weights, norms: dict[str, BatchNorm], dense: DenseLayers, part: slice
    ) -> None:
        """gradients are written: what this half adds to those of its weights."""
        n, buffers = part.stop - part.start, dense.buffers
        self.part, self.dtype = part, buffers.dtype
        self.pixels = buffers.empty(1, 4, 4, 7, 7, n)
        self.conv1 = TiledConvolution(weights["conv1.weight"], gradients["conv1.weight"], self.pixels, buffers)
        self.bn1 = NormSigmoid(norms["bn1"], self.conv1.y.reshape(6, 576, n), gradients["conv1.bias"], buffers)
        self.t1 = self.bn1.t.reshape(self.conv1.y.shape)
        self.pool1 = Pooling(self.t1, buffers)
        self.conv2 = TiledConvolution(weights["conv2.weight"], gradients["conv2.weight"], self.pool1.y, buffers)
        self.bn2 = NormSigmoid(norms["bn2"], self.conv2.y.reshape(16, 64, n), gradients["conv2.bias"], buffers)
        self.t2 = self.bn2.t.reshape(self.conv2.y.shape)
        self.pool2 = Pooling(self.t2, buffers)
        self.weight, self.x = weights["dense1.weight"], self.pool2.y.reshape(256, n)
        self.y, self.dy = dense.y1[:, part], dense.bn3.t[:, 0, part]
        self.dweight = gradients["dense1.weight"]

    def forward(self, images: np.ndarray, *, training: bool) -> Part:
        """images (n, 28, 28), bytes -> y of the first dense layer."""
        tiles = images.reshape(-1, 7, 4, 7, 4).transpose(2, 4, 1, 3, 0)  # (4, 4, 7, 7, n)
        np.divide(tiles, 255, out=self.pixels[0], dtype=self.dtype)
        self.conv1.forward()  # (6, 4, 4, 6, 6, n)
        yield from norm_sigmoid(self.bn1, training)
        self.pool1.forward()  # (6, 2, 2, 6, 6, n)
        self.conv2.forward()  # (16, 2, 2, 4, 4, n)
        yield from norm_sigmoid(self.bn2, training)
        self.pool2.forward()  # (16, 1, 1, 4, 4, n), and with that (256, n)
        np.matmul(self.weight, self.x, out=self.y)  # (120, n)

    def backward(self) -> Part:
        """The gradient by y is there."""
        np.matmul(self.dy, self.x.T, out=self.dweight)
        np.matmul(self.weight.T, self.dy, out=self.x)  # in place of what it is the gradient of
        self.bn2.slope()
        self.pool2.backward()
        yield self.bn2.norm.backward, self.bn2.sums()
        d = self.bn2.backward()
        self.conv2.backward_weight(d)
        self.conv2.backward_input(d)  # (6, 2, 2, 6, 6, n), in place of what it is the gradient of
        self.bn1.slope()
        self.pool1.backward()
        yield self.bn1.norm.backward, self.bn1.sums()
        self.conv1.backward_weight(self.bn1.backward())

    def activations(self) -> Weights:
        return {"bn1": untiled(sigmoid(self.t1)), "bn2": untiled(sigmoid(self.t2))}


def norm_sigmoid(part: NormSigmoid, training: bool) -> Part:
    if training:
        yield part.norm.train, part.moments()
        part.activate()
    else:
        part.predict()


class DenseLayers:
    """All after the first dense layer's product, of a whole batch of n examples."""

    def __init__(
        self, weights: Weights, gradients: Weights, norms: dict[str, BatchNorm], n: int, buffers: Buffers
    ) -> None:
        self.weights, self.gradients, self.buffers = weights, gradients, buffers
        empty = buffers.empty
        self.y1, self.y2, self.logits = empty(120, n), empty(84, n), empty(CLASSES, n)
        self.x2, self.x3 = empty(120, n), empty(84, n)
        self.bn3 = NormSigmoid(norms["bn3"], self.y1[:, None], gradients["dense1.bias"], buffers)
        self.bn4 = NormSigmoid(norms["bn4"], self.y2[:, None], gradients["dense2.bias"], buffers)

    def forward(self, *, training: bool) -> np.ndarray:
        """logits (10, n), from y1."""
        dense_norm_sigmoid(self.bn3, training, self.x2)  # (120, n)
        np.matmul(self.weights["dense2.weight"], self.x2, out=self.y2)  # (84, n)
        dense_norm_sigmoid(self.bn4, training, self.x3)  # (84, n)
        np.matmul(self.weights["dense3.weight"], self.x3, out=self.logits)  # (10, n)
        self.logits += self.weights["dense3.bias"][:, None]
        return self.logits

    def backward(self, dlogits: np.ndarray) -> None:
        """dlogits (10, n) -> the gradient by y1, in the norm's place for it."""
        dlogits.sum(axis=1, out=self.gradients["dense3.bias"])
        np.matmul(dlogits, self.x3.T, out=self.gradients["dense3.weight"])
        np.matmul(self.weights["dense3.weight"].T, dlogits, out=self.x3)  # in place of what it is the gradient of
        d = dense_norm_sigmoid_backward(self.bn4, self.x3)  # (84, n)
        np.matmul(d, self.x2.T, out=self.gradients["dense2.weight"])
        np.matmul(self.weights["dense2.weight"].T, d, out=self.x2)  # (120, n), likewise
        dense_norm_sigmoid_backward(self.bn3, self.x2)  # (120, n)

    def activations(self) -> Weights:
        return {"bn3": sigmoid(self.bn3.t[:, 0]).T, "bn4": sigmoid(self.bn4.t[:, 0]).T}


def dense_norm_sigmoid(part: NormSigmoid, training: bool, out: np.ndarray) -> None:
    """out (C, n): the sigmoids."""
    if training:
        part.norm.train([part.moments()])
        part.activate()
    else:
        part.predict()
    np.multiply(part.t[:, 0], 0.5, out=out)
    out += 0.5


def dense_norm_sigmoid_backward(part: NormSigmoid, ds: np.ndarray) -> np.ndarray:
    """ds (C, n): by the sigmoids, overwritten -> dx (C, n)."""
    dy = part.slope()
    dy *= ds[:, None]
    part.norm.backward([part.sums()])
    return part.backward()[:, 0]


def sigmoid(t: np.ndarray) -> np.ndarray:
    return (t + 1) / 2
