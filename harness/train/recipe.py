"""What every framework trains by, and all that the bits of a training depend on."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass

import numpy as np

from harness.train.fashion_mnist import FashionMnist
from harness.train.options import TrainingOptions

BATCH_SIZE, LEARNING_RATE = 256, 1.0


@dataclass(frozen=True)
class Recipe:
    """A checkpoint is continued only by the recipe that it was made by."""

    implementation: str
    version: str
    """Of the framework."""
    seeds: tuple[int, ...]
    """More than one where they are trained together."""
    device: str
    dtype: str
    compiled: bool
    data: str
    """A digest of the examples."""
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    replicas: int = 1
    kernels: str = ""
    """The library of C++ kernels that steps run by, or "halves" of a batch on two of JAX's devices; "" where framework
    operations do on one device."""


def recipe_of(options: TrainingOptions, seeds: tuple[int, ...], device: str, data: FashionMnist) -> Recipe:
    """device: "cpu" or "cuda", what `options.device` came to."""
    return Recipe(
        implementation=options.implementation,
        version=importlib.metadata.version(options.implementation),
        seeds=seeds,
        device=device,
        dtype=options.dtype,
        compiled=options.compiled and options.implementation == "torch",
        data=digest(data),
        replicas=options.replicas,
        kernels=kernels(options, seeds, device),
    )


def kernels(options: TrainingOptions, seeds: tuple[int, ...], device: str) -> str:
    """What a CPU may do otherwise in the second part of a training than in the first, with other roundings.

    PyTorch's kernels may be built in between, and JAX may have another number of cores.
    """
    if device != "cpu":
        return ""
    if options.implementation == "jax" and len(seeds) == options.replicas == 1:
        from impls.jax_flax import halves

        halves.prepare()
        return "halves" if halves.two_devices(BATCH_SIZE) else ""
    if options.implementation != "torch" or options.compiled:
        return ""
    from impls.pytorch import cpp_build

    return cpp_build.library().name if cpp_build.is_built() else ""


def batch_orders(examples: int, epochs: int, seed: int) -> np.ndarray:
    """(epochs, examples): the order in which every framework visits the training set."""
    rng = np.random.default_rng([seed, 1])
    return np.stack([rng.permutation(examples) for _ in range(epochs)])


def digest(data: FashionMnist) -> str:
    sha256 = hashlib.sha256()
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        sha256.update(np.ascontiguousarray(array).tobytes())
    return sha256.hexdigest()[:16]
