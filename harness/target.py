"""From a string to a batch norm under test: "torch" | "pkg.mod:attr" | "./file.py:attr" | an entry point's name."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.case import DEFAULT_DTYPES, DTYPES
from harness.errors import UsageError

ENTRY_POINTS = "bnproof.targets"


class TargetError(UsageError):
    """A target that cannot be found or loaded. The message says what to do."""


@dataclass(frozen=True)
class BuiltIn:
    """A target that comes with the project, and what it needs."""

    where: str
    needs: str
    what: str
    install: str = ""


BUILT_IN: dict[str, BuiltIn] = {
    "numpy": BuiltIn("reference.under_test:NumpyBatchNorm", "numpy", "the reference, in the case's own dtype"),
    "torch": BuiltIn(
        "impls.pytorch.under_test:Module", "torch", "our nn.Module, closed-form backward", "pip install torch"
    ),
    "jax": BuiltIn(
        "impls.jax_flax.under_test:Function", "jax", "our function with a custom_vjp", "pip install jax flax optax"
    ),
    "flax": BuiltIn("impls.jax_flax.under_test:Module", "flax", "our nnx module", "pip install jax flax optax"),
    "tutorial": BuiltIn(
        "impls.third_party.tutorial:Tutorial", "torch", "the tutorial's layer, faults and all", "pip install torch"
    ),
    "torch-native": BuiltIn(
        "impls.third_party.torch_native:TorchNative", "torch", "torch.nn.BatchNorm1d to 3d", "pip install torch"
    ),
    "flax-nnx": BuiltIn(
        "impls.third_party.flax_nnx:FlaxNnx", "flax", "flax.nnx.BatchNorm as it comes", "pip install jax flax"
    ),
    "flax-linen": BuiltIn(
        "impls.third_party.flax_linen:FlaxLinen", "flax", "flax.linen.BatchNorm as it comes", "pip install jax flax"
    ),
}

OWN = ("numpy", "torch", "jax", "flax")
"""Our own implementations, which must agree in every case."""


def is_installed(name: str) -> bool:
    """Whether what the built-in target `name` needs can be imported (nothing is imported to find out)."""
    return importlib.util.find_spec(BUILT_IN[name].needs) is not None


def locate(name: str) -> str:
    """The "module:attr" or "file.py:attr" of a target's name. Raises TargetError, with the nearest name."""
    if name in BUILT_IN:
        if not is_installed(name):
            built_in = BUILT_IN[name]
            raise TargetError(f"target {name!r} needs {built_in.needs}, which is not installed: {built_in.install}")
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


def load(name: str) -> Any:
    """The class of a target. Raises TargetError; imports whatever the target imports."""
    where, _, attr = locate(name).rpartition(":")
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    except TargetError:
        raise
    except Exception as error:
        raise TargetError(f"target {name!r}: importing {where} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, attr):
        public = [n for n, v in vars(module).items() if isinstance(v, type) and not n.startswith("_")]
        near = difflib.get_close_matches(attr, public, n=1) or public
        hint = f"; did you mean {where}:{near[0]}?" if near else ""
        raise TargetError(f"target {name!r}: {where} has no {attr!r}{hint}")
    target = getattr(module, attr)
    if not callable(target):
        raise TargetError(f"target {name!r} is a {type(target).__name__}; a class that takes a `setup` was expected")
    _check_contract(name, target)
    return target


def _check_contract(name: str, target: Any) -> None:
    if isinstance(target, type) and not (hasattr(target, "train") or hasattr(target, "eval")):
        raise TargetError(f"target {name!r} has neither `train(self, x, dy)` nor `eval(self, x, dy)`: see the README")
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


@dataclass(frozen=True)
class Description:
    """What a loaded target says of itself."""

    conventions: Any
    dtypes: tuple[str, ...]
    ranks: tuple[int, ...]
    methods: tuple[str, ...]
    versions: dict[str, str]


METHODS = ("train", "eval", "stats", "train_no_grad", "state", "load_state")
LIBRARIES = ("numpy", "torch", "jax", "jaxlib", "flax", "optax", "ml_dtypes", "keras", "tensorflow", "onnxruntime")


def describe(target: Any) -> Description:
    """Read the class attributes of a target; nothing is built."""
    return Description(
        conventions=getattr(target, "conventions", None),
        dtypes=tuple(getattr(target, "dtypes", DEFAULT_DTYPES)),
        ranks=tuple(getattr(target, "ranks", (2, 3, 4, 5))),
        methods=tuple(name for name in METHODS if hasattr(target, name)),
        versions={
            name: importlib.metadata.version(name) for name in LIBRARIES if name in sys.modules and _has_version(name)
        },
    )


def _has_version(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
