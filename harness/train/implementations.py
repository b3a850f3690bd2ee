"""The implementations that can be trained here: where they are, what they need, and what their trainings return."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from harness import place
from harness.errors import UsageError
from harness.targets.device import CUDA, DeviceError, hardware
from harness.train.results import EpochRecord
from reference.lenet import Weights

MODULES = {"numpy": "impls.numpy.training", "torch": "impls.pytorch.training", "jax": "impls.jax_flax.training"}
"""implementation -> the module with its `train` and `inspect`"""
READABLE = "reference.training"
"""NumPy's training as one would teach it, which takes any norm."""
SEEDS_MODULES = {"jax": "impls.jax_flax.seeds"}
"""implementation -> the module whose `train_seeds` trains several seeds as one program"""
REPLICATED = ("torch", "jax")
"""Those that several processes can train together, by harness.train.replicas.train."""
IN_ONE_PROCESS = {"jax": "impls.jax_flax.replicated_training"}
"""implementation -> the module whose `train` trains by several replicas without starting a process"""
NEEDS = {"numpy": "numpy", "torch": "torch", "jax": "flax"}


@dataclass(frozen=True)
class Trained:
    """What an implementation's `train` returns."""

    history: tuple[EpochRecord, ...]
    weights: Weights
    device: str
    dtype: str
    compile_seconds: float
    step: str
    """How a step ran."""


def trained(returned: dict[str, Any]) -> Trained:
    """The implementations return plain dicts, since they import nothing of this package; here they get their type."""
    return Trained(
        history=tuple(EpochRecord(**record) for record in returned["history"]),
        **{name: returned[name] for name in ("weights", "device", "dtype", "compile_seconds", "step")},
    )


def training_module(implementation: str) -> ModuleType:
    return importlib.import_module(place.module(MODULES[implementation]))


def readable_module() -> ModuleType:
    return importlib.import_module(place.module(READABLE))


def train_function(implementation: str, replicas: int = 1) -> Callable[..., dict[str, Any]]:
    """The implementation's `train`, or one of the same signature by several processes, a replica each.

    Raises UsageError where it cannot be trained by several.
    """
    if replicas == 1:
        return training_module(implementation).train
    if implementation not in REPLICATED:
        raise UsageError(f"{implementation} trains by one replica alone; --replicas is for {' and '.join(REPLICATED)}")
    from harness.train.replicas.train import train

    return functools.partial(train, implementation=implementation, replicas=replicas)


def lockstep_function(implementation: str, replicas: int) -> Callable[..., dict[str, Any]]:
    """As `train_function`, in this process where that can be: a lockstep begins anew at each comparison.

    To be called before JAX looks for devices.
    """
    if replicas == 1 or implementation not in IN_ONE_PROCESS:
        return train_function(implementation, replicas)
    module = importlib.import_module(place.module(IN_ONE_PROCESS[implementation]))
    module.prepare(replicas)
    return functools.partial(module.train, replicas=replicas)


def seeds_module(implementation: str) -> ModuleType:
    return importlib.import_module(place.module(SEEDS_MODULES[implementation]))


def installed(names: tuple[str, ...] = tuple(MODULES)) -> tuple[str, ...]:
    """Which of `names` can be trained on this machine."""
    return tuple(name for name in names if importlib.util.find_spec(NEEDS[name]) is not None)


def resolve_device(implementation: str, device: str) -> str:
    """ "auto" -> "cuda" where the framework sees a GPU, else "cpu". NumPy is always "cpu". Raises DeviceError."""
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device must be auto, cpu or cuda, got {device!r}")
    if implementation == "numpy" or device == "cpu":
        return "cpu"
    if has_gpu(implementation):
        return "cuda"
    if device == "cuda":
        raise DeviceError(f"{implementation} sees no CUDA device; use --device cpu, or install its CUDA build")
    return "cpu"


def has_gpu(implementation: str) -> bool:
    """Whether the framework sees a CUDA device. Imports the framework."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX is not the only one to use the GPU here
    if implementation == "jax":
        training_module("jax").prepare()  # asking for a GPU is looking for devices
    return hardware(implementation, CUDA) is not None
