"""A target played through a transformation: its factory, with one call replaced."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from typing import Any

from harness.errors import UsageError, did_you_mean
from harness.observables import DERIVATIVES
from harness.place import module
from harness.targets.results import Members
from harness.targets.through.names import join_through
from harness.targets.through.table import TABLE, of_framework
from harness.targets.through.transformation import PREDICTION, SECOND, TRAINING, Transformation

ROOMS = {
    "torch": "torch_module",
    "jax": "jax_pure",
    "nnx": "jax_pure",
    "linen": "jax_pure",
    "numpy": "numpy_folds",
    "keras": "keras_layer",
    "onnxruntime": "onnx_runtime",
    "tensorflow": "tensorflow_folds",
}
"""Framework -> the module here that has `through(factory, transformation)` for its layers."""
WRAPPERS = {
    "TorchModule": "torch",
    "Function": "jax",
    "NnxModule": "nnx",
    "LinenModule": "linen",
    "KerasLayer": "keras",
}
"""The adapter that wraps a layer -> whose layer it is."""


class ThroughError(UsageError):
    """A transformation that there is not, or not for this target."""


def through(factory: Any, name: str) -> Any:
    """A factory of the same layers, which are called through the transformation `name`. Raises ThroughError.

    Where a module or program that it needs is missing, the layers say so when they are built: it is unsupported.
    """
    transformation = find(name, framework_of(factory))
    missing = missing_needs(transformation)
    if missing:
        members: Members = {"__init__": _refuses(f"{name} needs {' and '.join(missing)}: not installed")}
    else:
        members = importlib.import_module(module(f"harness.targets.through.{ROOMS[transformation.framework]}")).members(
            transformation
        )
    members |= {"masked": False, "frozen": None}  # a transformation has no place for a mask or another mode
    if transformation.framework != "torch":
        members["options"] = ()
    if TRAINING not in transformation.keeps:
        members |= {"train": None, "train_no_grad": None}
    if PREDICTION not in transformation.keeps:
        members["eval"] = None
    asked = ("train_double", "eval_double") if SECOND in transformation.keeps else ()
    members |= {op: None for op in DERIVATIVES if op not in asked}
    return type(join_through(factory.__name__, name), (factory,), {**members, "untransformed": factory})


def framework_of(factory: Any) -> str:
    """Whose layer a wrapped target is: "torch", "nnx" ... ; "" where it is none of those that can be transformed."""
    names = [base.__name__ for base in getattr(factory, "__mro__", ())]
    framework = next((WRAPPERS[name] for name in names if name in WRAPPERS), getattr(factory, "transformed_as", ""))
    if framework == "jax" and getattr(getattr(factory, "tools", None), "library", "") != "jax":
        return ""
    return framework


def find(name: str, framework: str) -> Transformation:
    """Raises ThroughError that says which there are."""
    transformations = of_framework(framework)
    if name in transformations:
        return transformations[name]
    if not framework:
        raise ThroughError(
            "only a layer of torch, JAX, flax or Keras can be put through a transformation; a class with `train` and "
            "`eval` does all of its step itself"
        )
    raise ThroughError(f"{framework} has no transformation {name!r}; it has {', '.join(transformations)}")


def ensure_known(name: str) -> None:
    """Raises ThroughError for a name that no framework has, with the nearest."""
    known = list(dict.fromkeys(transformation.name for transformation in TABLE))
    if name not in known:
        raise ThroughError(f"unknown transformation {name!r}: {did_you_mean(name, known)}`bnproof list` names them all")


def missing_needs(transformation: Transformation) -> list[str]:
    """The modules and the program that it needs and that are not there."""
    modules = [name for name in transformation.needs if importlib.util.find_spec(name) is None]
    program = transformation.program
    return modules + ([program] if program and shutil.which(program) is None else [])


def _refuses(reason: str) -> Any:
    def refuse(self: Any, setup: Any) -> None:
        raise NotImplementedError(reason)

    return refuse
