"""From a string to a batch norm under test: "torch" | "pkg.mod:attr" | "./file.py:attr" | an entry point's name."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.cases.case import DEFAULT_DTYPES, DTYPES
from harness.errors import UsageError
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.player import Description

ENTRY_POINTS = "bnproof.targets"


class TargetError(UsageError):
    """A target that cannot be found or loaded. The message says what to do."""


def locate(name: str) -> str:
    """The "module:attr" or "file.py:attr" of a target's name. Raises TargetError, with the nearest name."""
    if name in BUILT_IN:
        if not is_installed(name):
            built_in = BUILT_IN[name]
            needs = " and ".join([*built_in.needs.split(), *([built_in.program] if built_in.program else [])])
            raise TargetError(f"target {name!r} needs {needs}, which is not installed: {built_in.install}")
        return BUILT_IN[name].where
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return entry.value
    if ":" in name and not name.startswith(":") and not name.endswith(":"):
        return name
    near = difflib.get_close_matches(name, BUILT_IN, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if name.endswith(".py"):
        hint = f"name the class as well: {name}:MyBatchNorm. "
    raise TargetError(f"unknown target {name!r}: {hint}Known: {', '.join(BUILT_IN)}; or module:attr, or file.py:attr")


def load(name: str, layer: str = "") -> Any:
    """The class of a target, or of the layer at the path `layer` in it. Raises TargetError; imports what it imports."""
    where, _, attr = locate(name).rpartition(":")
    prepare_keras()
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    except TargetError:
        raise
    except Exception as error:
        raise TargetError(f"target {name!r}: importing {where} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, attr):
        public = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__]
        near = difflib.get_close_matches(attr, public, n=1) or public
        hint = f"; did you mean {where}:{near[0]}?" if near else ""
        raise TargetError(f"target {name!r}: {where} has no {attr!r}{hint}")
    from harness.targets.recognise import NotRecognisedError, recognise

    try:
        target = recognise(getattr(module, attr), layer)
    except NotRecognisedError as error:
        raise TargetError(f"target {name!r}: {error}") from error
    _check_contract(name, target)
    return target


def prepare_keras() -> None:
    """Keras takes TensorFlow unless it is told; where only another backend is installed, it is told."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greeting is not what a target prints
    if "KERAS_BACKEND" in os.environ or importlib.util.find_spec("keras") is None:
        return
    for backend in ("tensorflow", "jax", "torch"):
        if importlib.util.find_spec(backend) is not None:
            os.environ["KERAS_BACKEND"] = backend
            return


def _check_contract(name: str, target: Any) -> None:
    for dtype in getattr(target, "dtypes", DEFAULT_DTYPES):
        if dtype not in DTYPES:
            raise TargetError(f"target {name!r}: dtypes may name {', '.join(DTYPES)}; it names {dtype!r}")


def _load_module(where: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(error.name + ".")):
            raise TargetError(f"there is no module {error.name!r}; is it installed, and the spelling right?") from error
        raise


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"there is no file {path} (looked in {Path.cwd()})")
    spec = importlib.util.spec_from_file_location(f"bnproof_target_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


METHODS = ("train", "eval", "stats", "train_no_grad", "state", "load_state")
LIBRARIES = (
    "numpy", "torch", "jax", "jaxlib", "flax", "optax", "ml_dtypes", "torchvision", "timm", "keras",
    "tensorflow", "tensorflow_cpu", "onnx", "onnxruntime", "tinygrad", "mlx",
)  # fmt: skip


def describe(target: Any) -> Description:
    """Read the class attributes of a target; nothing is built."""
    return Description(
        conventions=getattr(target, "conventions", None),
        dtypes=tuple(getattr(target, "dtypes", DEFAULT_DTYPES)),
        ranks=tuple(getattr(target, "ranks", (2, 3, 4, 5))),
        methods=tuple(name for name in METHODS if hasattr(target, name)),
        versions={
            name: importlib.metadata.version(name) for name in LIBRARIES if _is_loaded(name) and _has_version(name)
        },
        adapter=getattr(target, "adapter", ""),
    )


def _is_loaded(name: str) -> bool:
    return name.removesuffix("_cpu") in sys.modules


def _has_version(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
