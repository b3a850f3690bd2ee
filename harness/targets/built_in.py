"""The targets that come with the project, by name: what there is, and whether it is installed."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness import place
from harness.targets.built_in_kind import EXEC, PLAYERS, BuiltIn
from harness.targets.built_in_table import OTHERS, OURS
from harness.targets.device import CPU, on_device, split_device

if TYPE_CHECKING:
    from harness.environments.environments import VirtualEnvironment

BUILT_IN = OURS | OTHERS

GPU_LIBRARIES = {"torch", "torchvision", "timm", "jax", "flax", "keras", "paddle"}
CPU_ONLY = {"torch-mkldnn", "torch-cpp", "executorch"}
CUDA_ONLY = {"torch-triton"}


def built_in(name: str) -> BuiltIn:
    """The built-in target of this name, which may end in @DEVICE."""
    return BUILT_IN[split_device(name)[0]]


def computing_on(device: str) -> tuple[str, ...]:
    """The names of the built-in targets that can compute on a device, each with it: ("torch@cuda", ...)."""
    if device == CPU:
        return tuple(BUILT_IN)
    return tuple(
        on_device(name, device)
        for name, target in BUILT_IN.items()
        if GPU_LIBRARIES & {*target.needs.split()} and name not in CPU_ONLY
    )


OWN = ("numpy", "torch", "jax", "flax")
"""Our own implementations, which must agree in every case."""


def location(name: str) -> str:
    """The "module:attribute" of the built-in target `name`, to be imported, or the "exec:..." to be run.

    A program that must be built is built. Raises NotInstallableError where it cannot be.
    """
    built_in = BUILT_IN[name]
    if not built_in.is_program:
        return place.module(built_in.where)
    program, file, *arguments = built_in.words
    words = [program, str(PLAYERS / file), *arguments]
    if built_in.is_built:
        from harness.environments.environments import make  # not in a player's process, whose Python may be older

        words = [str(make(built_in.requirements).program), *arguments]
    return EXEC + shlex.join(words)


def is_installed(name: str, among: Mapping[str, BuiltIn] = BUILT_IN) -> bool:
    """Whether what the target `name` needs is there. Nothing that takes long is imported to find out.

    A program that must be built is there once it has been.
    """
    built_in = among[name]
    if any(shutil.which(program) is None for program in built_in.program.split()):
        return False
    if built_in.is_program:
        return environment_of(name) is not None
    if not all(_is_importable(module) for module in built_in.needs.split()):
        return False
    return not built_in.built_by or importlib.import_module(place.module(built_in.built_by)).is_built()


def environment_of(name: str) -> VirtualEnvironment | None:
    """Where npm installed or a compiler built what a built-in program needs, if it has."""
    from harness.environments.environments import find  # as above

    return find(BUILT_IN[name].requirements)


def variables(name: str) -> dict[str, str]:
    """Environment variables for a built-in program: where Node finds what npm installed for it."""
    environment = environment_of(name)
    is_for_node = BUILT_IN[name].requirements.npm
    return {"NODE_PATH": str(environment.folder / "node_modules")} if environment and is_for_node else {}


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False
