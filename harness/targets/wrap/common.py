"""What every wrapper shares: constructor arguments by signature, parameters and statistics by name and shape.

A wrapper never guesses in silence: what it took for what is a note, and what it could not find is an AdapterError
with the names that were seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

FEATURES = (
    "num_features", "features", "num_channels", "channels", "n_features", "n_channels", "in_channels", "in_features",
    "num_feature", "feature_size", "size", "dim", "width", "planes", "nf", "c", "n",
)  # fmt: skip
EPS = ("eps", "epsilon", "variance_epsilon")
MOMENTUM = ("momentum", "decay", "decay_rate")
NDIM = ("ndim", "num_dims", "n_dims", "dims", "rank")
TRAINING = ("training", "train", "is_training", "is_train", "training_mode")
PREDICTING = ("use_running_average", "use_running_stats", "deterministic", "inference", "is_test", "test")

ARRAYS = {
    "gamma": ("gamma", "weight", "scale", "gain", "g", "w"),
    "beta": ("beta", "bias", "shift", "offset", "b"),
    "moving_mean": ("moving_mean", "running_mean", "mean", "moving_avg", "rm"),
    "moving_var": ("moving_var", "moving_variance", "running_var", "running_variance", "var", "variance", "rv"),
}  # fmt: skip
"""The names that people give to the four arrays, the most telling first."""


class AdapterError(Exception):
    """The wrapper does not fit the object: nothing is known yet about whether that is a right batch norm."""


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a class or function can be called with; what it hands on by **kwargs is looked up in its base classes."""
    found: dict[str, inspect.Parameter] = {}
    for one in _signatures(target):
        found |= {name: p for name, p in one.items() if name not in found and p.kind not in _VARIABLE}
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in one.values()):
            break
    return found


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _signatures(target: Callable[..., Any]) -> Iterable[dict[str, inspect.Parameter]]:
    if not isinstance(target, type):
        yield dict(inspect.signature(target).parameters)
        return
    for base in target.__mro__:
        if "__init__" in vars(base) and base is not object:
            yield dict(list(inspect.signature(vars(base)["__init__"]).parameters.items())[1:])


def arguments(
    target: Callable[..., Any], setup: Any, others: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The keywords to call a constructor or factory with: what `setup` says, under the names that it has.

    `others` are the framework's own (dtype, rngs ...), used where the signature has them; `given` are the settings of
    an object that is built anew, which only `setup` overrides. Raises AdapterError for what is required and unknown.
    """
    takes = parameters_of(target)
    found = {name: value for name, value in (given or {}).items() if name in takes}
    found |= {name: value for name, value in others.items() if name in takes}
    wanted = {EPS: setup.eps, MOMENTUM: setup.momentum, NDIM: setup.ndim}
    for names, value in wanted.items():
        name = first(names, takes)
        if name and value is not None:
            found[name] = value
    name = first(FEATURES, takes)
    required = [n for n, p in takes.items() if p.default is inspect.Parameter.empty and n not in found]
    name = name or (required[0] if required else None)  # the first thing that a layer must be told is its width
    if name:
        found[name] = setup.num_features
    untold = [n for n in required if n not in found and first(EPS + MOMENTUM, [n])]
    if untold:
        raise AdapterError(f"{called(target)} has no default for {' and '.join(untold)}")
    unknown = [n for n in required if n not in found]
    if unknown:
        raise AdapterError(
            f"{called(target)} needs {', '.join(unknown)}, which bnproof cannot give; it knows width, eps, momentum, "
            f"rank. Wrap it in a factory: def make_norm(num_features, eps, momentum): return {called(target)}(...)"
        )
    return found


def first(names: Iterable[str], among: Iterable[str]) -> str | None:
    """The first of `names` that is among, whatever its case."""
    lower = {one.lower(): one for one in among}
    return next((lower[name] for name in names if name in lower), None)


def set_numbers(layer: Any, setup: Any, taken: Iterable[str], trains: bool = True) -> None:
    """eps and momentum that the constructor did not take are set on the object, or an AdapterError is raised."""
    for what, names, value in (("eps", EPS, setup.eps), ("momentum", MOMENTUM, setup.momentum)):
        if value is None or first(names, taken) or (what == "momentum" and not trains):
            continue
        name = first(names, [n for n in dir(layer) if not n.startswith("__")])
        if name is None:
            raise AdapterError(
                f"{called(type(layer))} lets nobody set {what}: no argument and no attribute called "
                f"{' or '.join(names)}; its constructor takes ({', '.join(taken)}). Make {what} an argument"
            )
        setattr(layer, name, value)


def find_arrays(seen: Mapping[str, tuple[int, ...]], features: int) -> dict[str, str]:
    """{"gamma": the path of the array that is gamma, ...}: by the last part of its name, and its size.

    seen: path -> shape. What is not found is absent.
    """
    fitting = [path for path, shape in seen.items() if int(np.prod(shape)) == features]
    found: dict[str, str] = {}
    for ours, names in ARRAYS.items():
        by_name = {_last(path): path for path in reversed(fitting) if path not in found.values()}
        alike = (name for name in by_name if any(long in name for long in names if len(long) > 2))
        name = first(names, by_name) or next(alike, None)
        if name:
            found[ours] = by_name[name]
    return found


def _last(path: str) -> str:
    return path.rpartition(".")[2].strip("_").lower()


def require(found: Mapping[str, str], names: Iterable[str], seen: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Raises AdapterError for a missing array, with everything that was seen."""
    missing = [name for name in names if name not in found]
    if missing:
        listed = ", ".join(f"{path} {shape}" for path, shape in seen.items()) or "nothing"
        raise AdapterError(
            f"no {' and no '.join(missing)} in {what}: seen {listed}; looked for "
            f"{', '.join(ARRAYS[missing[0]])} of as many values as channels"
        )


def mapping_note(kind: str, found: Mapping[str, str]) -> str:
    told = ", ".join(f"{ours} is {theirs}" for ours, theirs in found.items())
    absent = [name for name in ARRAYS if name not in found]
    return f"taken for {kind}: {told}" + (f"; without {' and '.join(absent)}" if absent else "")


def check_read_back(setup: Any, read: Mapping[str, Any]) -> None:
    """What was just set must be what is read. Raises AdapterError."""
    for name, value in read.items():
        if not np.array_equal(np.asarray(value, np.float64).ravel(), getattr(setup, name).astype(np.float64)):
            raise AdapterError(f"{name} was set to {getattr(setup, name)[:3]}... and reads {np.ravel(value)[:3]}...")


def mode_argument(call: Callable[..., Any], training: bool) -> dict[str, bool]:
    """{"training": True} and the like, as the signature of `call` has it; {} where it has none."""
    takes = parameters_of(call)
    name = first(TRAINING, takes)
    if name:
        return {name: training}
    name = first(PREDICTING, takes)
    return {name: not training} if name else {}


def called(target: Any) -> str:
    return getattr(target, "__name__", None) or type(target).__name__


def settings_of(layer: Any) -> dict[str, Any]:
    """The constructor arguments of a built object, as far as it keeps them under their names, as plain values."""
    kept = {name: getattr(layer, name, layer) for name in parameters_of(type(layer))}
    return {name: value for name, value in kept.items() if isinstance(value, bool | int | float | str | tuple | None)}


def declared(target: Any, **defaults: Any) -> dict[str, Any]:
    """The class attributes of a wrapper: what the target says of itself, else the defaults given."""
    found = {name: value for name, value in defaults.items() if value is not None}
    return found | {n: v for n in ("conventions", "dtypes", "ranks") if (v := getattr(target, n, None)) is not None}
