"""Where a target computes: "cpu" or "cuda". A name may say so: "torch-native@cuda"."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from harness.errors import UsageError

CPU, CUDA = "cpu", "cuda"
DEVICES = (CPU, CUDA)


class DeviceError(UsageError):
    """A device that the target or the machine has not."""


def split_device(name: str, default: str = CPU) -> tuple[str, str]:
    """ "torch-native@cuda" -> ("torch-native", "cuda"); a name that says none gets `default`.

    An "@" that is followed by anything else belongs to the name: a folder may be called so.
    """
    target, at, device = name.rpartition("@")
    return (target, device) if at and device in DEVICES else (name, default)


def for_device(environment: Mapping[str, str], device: str) -> dict[str, str]:
    """The environment variables of a process whose target computes on `device`.

    JAX takes a GPU where there is one, unless it is told otherwise. Two targets are alive at a time: it must not
    take most of the GPU's memory for one of them.
    """
    if device == CPU:
        return {"JAX_PLATFORMS": "cpu", **environment}
    return {**environment, "JAX_PLATFORMS": device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def on_device(name: str, device: str, layer: str = "") -> str:
    """The name of a target, or of a layer in it, on a device: on the CPU without a word of that."""
    place = f"{name}#{layer}" if layer else name
    return place if device == CPU else f"{place}@{device}"


def targets_on(device: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each with the device that it says itself, else with this one."""
    return tuple(on_device(*split_device(name, device)) for name in names)


def started_on(factory: Any, device: str) -> str:
    """Make sure that the target can compute on `device`. Returns what it is: "cpu", or "cuda:0 NAME".

    Raises DeviceError where it cannot. A class of the contract says by `devices = ("cpu", "cuda")` that it goes by
    `setup.device`; the wrappers of torch and JAX do.
    """
    devices = tuple(getattr(factory, "devices", (CPU,)))
    if device not in devices:
        raise DeviceError(
            f"it computes on {' and '.join(devices)} only, not on {device}; a class that goes by setup.device says so "
            f'with devices = ("cpu", "{device}")'
        )
    if device == CPU:
        return CPU
    library = getattr(factory, "library", "")
    seen = hardware(library, device)
    if seen is None:
        raise DeviceError(f"{library or 'the machine'} sees no {device} device; its CUDA build and a GPU are needed")
    return f"{device}:0 {seen}".strip()


def hardware(library: str, device: str) -> str | None:
    """What the device is called by `library`, one of `NAMES`, which is imported; None where it is absent.

    library = "": by torch or jax, whichever is imported already; "" where neither is.
    """
    library = library or next((name for name in ("torch", "jax") if name in sys.modules), "")
    return NAMES[library](device) if library in NAMES else ""


def _by_jax(device: str) -> str | None:
    import jax

    try:
        return jax.devices(device)[0].device_kind
    except (RuntimeError, AssertionError):  # the second where it was told to use no other platform
        return None


def _by_torch(_: str) -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _by_tensorflow(_: str) -> str | None:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU") if devices else None


def _by_paddle(_: str) -> str | None:
    import paddle

    cuda = paddle.device.cuda
    return cuda.get_device_name(0) if paddle.device.is_compiled_with_cuda() and cuda.device_count() else None


NAMES = {"jax": _by_jax, "torch": _by_torch, "tensorflow": _by_tensorflow, "paddle": _by_paddle}
"""Library -> what it calls a device."""
