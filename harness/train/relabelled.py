"""The same training with everything relabelled: equal in exact arithmetic, and rounded otherwise.

LeNet does not care how its channels, its classes and the examples of a batch are numbered, nor, where every kernel is
turned with them, which way round its images lie. So a training from relabelled weights on relabelled data is the same
training; but every sum, over a batch, over pixels, over channels, is added in another order. How far it gets from its
own is what rounding does, measured through the whole of a step, by nothing but the trainings' public contract.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.train.fashion_mnist import FashionMnist
from harness.train.recipe import BATCH_SIZE
from reference.lenet import CLASSES, Weights

OUTPUTS = {"conv1": 6, "conv2": 16, "dense1": 120, "dense2": 84, "dense3": CLASSES}
"""layer -> how many channels, units or classes it gives"""
BEFORE = {"conv2": "conv1", "dense1": "conv2", "dense2": "dense1", "dense3": "dense2"}
NORM_OF = {"bn1": "conv1", "bn2": "conv2", "bn3": "dense1", "bn4": "dense2"}
FLATTENED = (4, 4)
"""The pixels of each of conv2's channels, as dense1 sees them."""


@dataclass(frozen=True)
class Relabelling:
    """New numbers for what a training numbers."""

    new: dict[str, np.ndarray]
    """layer -> (outputs,): which of the old outputs stands in each place"""
    turned: tuple[int, int]
    """Steps, 1 or -1, along the images' two axes."""
    transposed: bool
    """Whether these axes are exchanged, after that."""
    seed: tuple[int, ...]
    """Of the order within batches."""

    def data(self, data: FashionMnist) -> FashionMnist:
        return replace(
            data,
            train_images=self.images(data.train_images),
            test_images=self.images(data.test_images),
            train_labels=self.labels(data.train_labels),
            test_labels=self.labels(data.test_labels),
        )

    def images(self, images: np.ndarray) -> np.ndarray:
        """(..., H, H) or kernels of that shape."""
        down, across = self.turned
        images = images[..., ::down, ::across]
        return np.ascontiguousarray(images.swapaxes(-1, -2) if self.transposed else images)

    def labels(self, labels: np.ndarray) -> np.ndarray:
        return np.argsort(self.new["dense3"])[labels].astype(labels.dtype)

    def batches(self, batches: np.ndarray, first: int) -> np.ndarray:
        """(n,) indices, consecutive batches from the `first`-th of all on: another order within each."""
        parts = np.split(batches, range(BATCH_SIZE, len(batches), BATCH_SIZE))
        rngs = (np.random.default_rng([*self.seed, first + number]) for number in range(len(parts)))
        return np.concatenate([rng.permutation(part) for rng, part in zip(rngs, parts, strict=True)])

    def order(self, examples: int) -> np.ndarray:
        """(n,): the order of the examples of a batch that is only looked at."""
        return np.random.default_rng(self.seed).permutation(examples)

    def activations_back(self, activations: Weights) -> Weights:
        """(n, C, H, W) or (n, C) by their norm's name, of examples in `order`, from new numbers to old ones."""
        back = self.inverse()
        restored = {}
        for name, array in activations.items():
            array = array[np.argsort(self.order(len(array)))][:, back.new[NORM_OF.get(name, name)]]
            restored[name] = back.images(array) if array.ndim == 4 else array
        return restored

    def tensors(self, tensors: Weights) -> Weights:
        """Weights, moving statistics or gradients, by name, from old numbers to new ones."""
        return {name: self.tensor(name, array) for name, array in tensors.items()}

    def tensor(self, name: str, array: np.ndarray) -> np.ndarray:
        layer, part = name.split(".")
        array = array[self.new[NORM_OF.get(layer, layer)]]
        if part != "weight":
            return array
        if layer in BEFORE:
            by_input = array.reshape(len(array), OUTPUTS[BEFORE[layer]], -1)[:, self.new[BEFORE[layer]]]
            array = by_input.reshape(array.shape)
        if layer == "dense1":
            return self.images(array.reshape(-1, *FLATTENED)).reshape(array.shape)
        return self.images(array) if array.ndim == 4 else array

    def inverse(self) -> Relabelling:
        """From new numbers to old ones."""
        turned = self.turned[::-1] if self.transposed else self.turned
        return replace(self, new={layer: np.argsort(new) for layer, new in self.new.items()}, turned=turned)


def relabelling(seed: int, number: int) -> Relabelling:
    """The `number`-th of a seed, drawn at random, each another way round: there are eight."""
    rng = np.random.default_rng([seed, 2, number])
    way = 1 + number % 7  # the eighth leaves the images as they are
    return Relabelling(
        new={layer: rng.permutation(outputs) for layer, outputs in OUTPUTS.items()},
        turned=(-1 if way & 1 else 1, -1 if way & 2 else 1),
        transposed=bool(way & 4),
        seed=(seed, 3, number),
    )
