"""From a string to a batch norm under test: "torch" | "pkg.mod:attr" | "./file.py:attr" | an entry point's name."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import place
from harness.cases.script import DEFAULT_DTYPES, DTYPES
from harness.errors import UsageError, did_you_mean
from harness.targets.built_in import BUILT_IN, is_installed, location
from harness.targets.built_in_kind import EXEC
from harness.targets.play import failure
from harness.targets.recognise import NotRecognisedError, recognise
from harness.targets.replicas.names import Replicas, split_replicas
from harness.targets.replicas.over import NotReplicableError, over
from harness.targets.replicas.targets import REPLICATED, TARGETS
from harness.targets.through.through import ThroughError, through
from reference.summation_error import SUMMATIONS

ENTRY_POINTS = "bnproof.targets"
"""The group of entry points under which a package can name its targets."""

ALIKE = 0.7
"""How alike a target's name must be to be suggested: there are many short ones."""


class TargetError(UsageError):
    """A target that cannot be found or loaded. The message says what to do."""


def locate(name: str) -> str:
    """The "module:attr" or "file.py:attr" of a target's name. Raises TargetError, with the nearest name."""
    if name.startswith(EXEC) or (name in BUILT_IN and BUILT_IN[name].is_program):
        raise TargetError(f"target {name!r}: a program in another language is played by `check` and `probe` alone")
    if name in BUILT_IN:
        if not is_installed(name):
            built_in = BUILT_IN[name]
            besides = [built_in.program, "its kernels" if built_in.built_by else ""]
            needs = " and ".join([*built_in.needs.split(), *filter(None, besides)])
            absent = "are not there" if built_in.built_by else "is not installed"
            raise TargetError(f"target {name!r} needs {needs}, which {absent}: {built_in.install}")
        return location(name)
    if ":" in name and not name.startswith(":") and not name.endswith(":"):
        return name
    for entry_point in _entry_points():
        if entry_point.name == name:
            return entry_point.value
    raise TargetError(
        f"unknown target {name!r}: {_hint(name)}Known: {', '.join(TARGETS)}; or module:attr, file.py:attr, exec:COMMAND"
    )


def _entry_points() -> Any:
    import importlib.metadata  # takes 15 ms, and all that is installed is looked through; few targets need it

    if sys.version_info < (3, 10):  # noqa: UP036 - a player may run in Python 3.9
        return importlib.metadata.entry_points().get(ENTRY_POINTS, ())
    return importlib.metadata.entry_points(group=ENTRY_POINTS)


def _hint(name: str) -> str:
    if name.endswith(".py"):
        return f"name the class as well: {name}:MyBatchNorm. "
    if Path(f"{name}.py").is_file():
        return f"did you mean ./{name}.py:MyBatchNorm? "
    return did_you_mean(name, TARGETS, ALIKE)


def load(name: str, layer: str = "", transformation: str = "") -> Any:
    """The factory of a target: a class of the contract, or what a wrapper makes of a framework's layer.

    layer: where in the target, a model, the layer is ("1", "block.norm"). transformation: what its layers are called
    through, by name. Raises TargetError; imports whatever the target imports.
    """
    target, replicas = split_replicas(name)
    if replicas or name in REPLICATED:
        if target in REPLICATED and not is_installed(target, REPLICATED):
            raise TargetError(f"target {name!r} needs {REPLICATED[target].needs}: {REPLICATED[target].install}")
        layer_of_one = place.module(REPLICATED[target].where) if target in REPLICATED else target
        load_one = functools.partial(load, layer_of_one, layer, transformation)
        try:
            return over(load_one, replicas or Replicas())
        except NotReplicableError as error:
            raise TargetError(f"target {name!r}: {error}") from error
    where, _, attribute = locate(name).rpartition(":")
    prepare_keras()
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    except TargetError:
        raise
    except Exception as error:
        raise TargetError(f"target {name!r}: importing {where} failed: {failure(error)}") from error
    if not hasattr(module, attribute):
        raise TargetError(
            f"target {name!r}: {where} has no {attribute!r}{_nearest_attribute(module, where, attribute)}"
        )
    factory = factory_of(getattr(module, attribute), name, layer)
    if name in BUILT_IN and hasattr(factory, "tells_mapping"):
        factory.tells_mapping = False  # which array is gamma is no guess there: tests hold it
    try:
        return through(factory, transformation) if transformation else factory
    except ThroughError as error:
        raise TargetError(f"target {name!r}: {error}") from error


def factory_of(target: Any, name: str, layer: str = "") -> Any:
    """A target, or the layer in it, as a factory that takes a `setup`. Raises TargetError, which says `name`."""
    try:
        factory = recognise(target, layer)
    except NotRecognisedError as error:
        raise TargetError(f"target {name!r}: {error}") from error
    for dtype in getattr(factory, "dtypes", DEFAULT_DTYPES):
        if dtype not in DTYPES:
            raise TargetError(f"target {name!r}: dtypes may name {', '.join(DTYPES)}; it names {dtype!r}")
    summation = getattr(factory, "summation", "any")
    if summation not in SUMMATIONS:
        known = ", ".join(SUMMATIONS)
        raise TargetError(f"target {name!r}: summation may be {known}; it is {summation!r}")
    return factory


def _nearest_attribute(module: ModuleType, where: str, attribute: str) -> str:
    public = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    near = difflib.get_close_matches(attribute, public, n=1) or public
    return f"; did you mean {where}:{near[0]}?" if near else ""


def prepare_keras() -> None:
    """Keras takes TensorFlow unless told otherwise; where only another backend is installed, it is told."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greeting is not what a target prints
    if "KERAS_BACKEND" in os.environ or importlib.util.find_spec("keras") is None:
        return
    for backend in ("tensorflow", "jax", "torch"):
        if importlib.util.find_spec(backend) is not None:
            os.environ["KERAS_BACKEND"] = backend
            return


def working_directory() -> str:
    """The working directory, or in words that there is none any more."""
    try:
        return os.getcwd()
    except OSError:
        return "a working directory that was deleted"


def _find_modules_in(directory: str) -> None:
    """Before what is installed, as for a script, but after the standard library: a user's file may be select.py."""
    library = Path(os.__file__).parent
    standard = [number for number, entry in enumerate(sys.path) if Path(entry) in (library, library / "lib-dynload")]
    if directory not in sys.path:
        sys.path.insert(max(standard, default=-1) + 1, directory)


def _load_module(where: str) -> ModuleType:
    _find_modules_in(working_directory())
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(error.name + ".")):
            raise TargetError(f"there is no module {error.name!r}; is it installed, and the spelling right?") from error
        raise


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"there is no file {path} (looked in {working_directory()})")
    spec = importlib.util.spec_from_file_location(f"bnproof_target_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    _find_modules_in(str(path.resolve().parent))
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
