"""The three trainings: the same data, start and batch order to each framework; what comes back as records."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.train.fashion_mnist import FashionMnist

MODULES = {"numpy": "reference.training", "torch": "impls.pytorch.training", "jax": "impls.jax_flax.training"}
NEEDS = {"numpy": "numpy", "torch": "torch", "jax": "flax"}
BATCH_SIZE, LEARNING_RATE, EPOCHS = 256, 1.0, 10

# The tutorial's printed figures and the ranges that a correct run must land in: mean +- 4 standard deviations of
# eight independent runs with the same settings (float32, CPU).
PUBLISHED = {
    "source": "Dive into Deep Learning, section 8.5 (PyTorch, one GPU)",
    "loss": 0.264,
    "train_accuracy": 0.903,
    "test_accuracy": 0.739,
    "step_examples_per_second": 18366.4,
    "device": "cuda:0",
    "gamma": [2.37, 2.66, 3.92, 0.58, 3.42, 2.40],
    "beta": [1.68, -1.15, -2.57, -1.01, 3.62, -0.89],
    "loss_range": [0.247, 0.289],
    "train_accuracy_range": [0.891, 0.911],
    "cpu_baseline_examples_per_second": {"step": 6514, "end_to_end": 4900},
}


Weights = dict[str, np.ndarray]


class DeviceError(UsageError):
    """A device that was asked for and is not there."""


def installed(names: tuple[str, ...] = tuple(MODULES)) -> list[str]:
    """Which of the three can be trained on this machine."""
    return [name for name in names if importlib.util.find_spec(NEEDS[name]) is not None]


def resolve_device(name: str, device: str) -> str:
    """ "auto" -> "cuda" where the framework sees a GPU, else "cpu". NumPy is always "cpu". Raises DeviceError."""
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device must be auto, cpu or cuda, got {device!r}")
    if name == "numpy" or device == "cpu":
        return "cpu"
    if has_gpu(name):
        return "cuda"
    if device == "cuda":
        raise DeviceError(f"{name} sees no CUDA device; use --device cpu, or install its CUDA build")
    return "cpu"


def has_gpu(name: str) -> bool:
    """Whether the framework sees a CUDA device. Imports the framework."""
    if name == "torch":
        import torch

        return torch.cuda.is_available()
    import jax

    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False


def batch_orders(examples: int, epochs: int, seed: int) -> np.ndarray:
    """(epochs, examples): the order in which every framework visits the training set."""
    rng = np.random.default_rng([seed, 1])
    return np.stack([rng.permutation(examples) for _ in range(epochs)])


def run(
    name: str,
    data: FashionMnist,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    on_progress: Callable[[int], None] | None = None,
    on_epoch: Callable[[dict], None] | None = None,
    resume: Path | None = None,
    compiled: bool = False,
    population: bool = False,
) -> dict[str, Any]:
    """Train one framework by SEED's recipe. Returns a summary with "history", ready for the ledger.

    The seed fixes the initial weights and the batch order, both shared by all frameworks.
    resume: a folder that keeps a checkpoint an epoch, and from which a training that was cut off goes on.
    compiled: PyTorch's steps compiled. population: test accuracy also by statistics of the whole training set.
    """
    from harness.train import checkpoint
    from reference.lenet import initial_weights

    where = resolve_device(name, device)
    recipe = recipe_of(name, data, seed, where, dtype, compiled)
    path = resume / f"{name}-seed{seed}.npz" if resume else None

    def train(found: checkpoint.Checkpoint, keep: Callable[[dict, Weights], None]) -> dict[str, Any]:
        return importlib.import_module(MODULES[name]).train(
            data,
            found.weights,
            batch_orders(len(data.train_images), epochs, seed)[len(found.history) :],
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            dtype=dtype,
            device=where,
            first_epoch=len(found.history) + 1,
            on_progress=on_progress,
            on_epoch=keep,
            **({"compiled": True} if compiled and name == "torch" else {}),
        )

    found = go_on(path, recipe, initial_weights(seed), epochs, train, on_epoch)
    if population and "population_test_accuracy" not in found.result:
        from harness.train.accuracy import population_test_accuracy

        found.result["population_test_accuracy"] = population_test_accuracy(found.weights, data)
    if path:
        checkpoint.save(path, recipe, found)
    return summary(
        name, found.result | {"history": found.history, "weights": found.weights}, len(data.train_images), seed
    )


def go_on(
    path: Path | None,
    recipe: dict[str, Any],
    start: Weights,
    epochs: int,
    train: Callable[[Any, Callable[[Any, Weights], None]], dict[str, Any]],
    on_epoch: Callable[[Any], None] | None,
) -> Any:
    """The checkpoint after `epochs`: what `path` holds, or a fresh start, trained on to there and kept every epoch.

    train: called with the checkpoint to go on from and with what to call after each epoch, with its entry of the
    history and the weights; returns the weights with "device", "dtype", "compile_seconds", "step".
    """
    from harness.train import checkpoint

    meta = said(recipe["device"], recipe["dtype"])
    found = (path and checkpoint.load(path, recipe)) or checkpoint.Checkpoint([], start, meta)
    if len(found.history) > epochs:
        raise UsageError(f"{path} holds {len(found.history)} epochs, more than the {epochs} asked for")
    if len(found.history) == epochs:
        return found
    history = list(found.history)

    def keep(entry: Any, weights: Weights) -> None:
        history.append(entry)
        if path:
            checkpoint.save(path, recipe, checkpoint.Checkpoint(history, weights, meta))
        if on_epoch:
            on_epoch(entry)

    result = train(found, keep)
    return checkpoint.Checkpoint(history, result["weights"], {key: result[key] for key in meta})


def said(device: str, dtype: str) -> dict[str, Any]:
    """What is known of a training before it ends."""
    return {"device": device, "dtype": dtype, "compile_seconds": 0.0, "step": ""}


def recipe_of(name: str, data: Any, seed: int, device: str, dtype: str, compiled: bool) -> dict[str, Any]:
    """All that a training's bits hang on."""
    from harness.train import checkpoint

    return {
        "implementation": name,
        "seed": seed,
        "device": device,
        "dtype": dtype,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "compiled": compiled and name == "torch",
        "data": checkpoint.digest(data),
        "version": importlib.metadata.version(name),
    }


def summary(name: str, result: dict[str, Any], examples: int, seed: int) -> dict[str, Any]:
    """The figures that the tutorial prints, plus both clocks and the compile time."""
    history, weights = result["history"], result["weights"]
    last = history[-1]
    steps = sum(record["step_seconds"] for record in history)
    seconds = sum(record["seconds"] for record in history)
    return {
        "implementation": name,
        "seed": seed,
        "device": result["device"],
        "dtype": result["dtype"],
        "epochs": len(history),
        "examples": examples,
        "loss": last["loss"],
        "train_accuracy": last["train_accuracy"],
        "test_accuracy": last["test_accuracy"],
        "step_examples_per_second": examples * len(history) / steps,
        "examples_per_second": examples * len(history) / seconds,
        "compile_seconds": result["compile_seconds"],
        "step": result["step"],
        "population_test_accuracy": result.get("population_test_accuracy"),
        "gamma": np.asarray(weights["bn1.gamma"], np.float64).tolist(),
        "beta": np.asarray(weights["bn1.beta"], np.float64).tolist(),
        "history": history,
    }
