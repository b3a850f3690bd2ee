"""What all wrappers share: constructor arguments by signature, parameters and statistics by name and shape.

A wrapper never guesses silently: a note says which array it took for which, and what it could not find is an
AdapterError that lists the names that were there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from harness.targets.results import Keywords
from reference.conventions import Conventions

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
"""The names that people give to the four arrays, the least ambiguous first."""


class AdapterError(Exception):
    """The wrapper does not fit the layer: nothing is known yet about whether that is a right batch norm."""


DECLARED = ("conventions", "dtypes", "ranks")
"""What a target may say of itself, as attributes of its class or factory."""
PROMISED = ("summation", "folded", "rescaled")
"""What else: its bounds hang on it, and no call shows it."""


class Adapter:
    """A layer of some framework behind the contract. `adapter_for` makes a subclass of it for each target."""

    adapter = ""
    """What the target was taken for, in words."""
    adapter_notes: dict[str, str]
    """Note id -> text, for whoever has the target checked."""
    tells_mapping = True
    """Whether a note says which array was taken for gamma, which for beta, and so on."""
    declared: tuple[str, ...]
    """Which of `DECLARED` are known without trying."""
    framework = ""
    """The preset of the framework whose layers it wraps."""
    devices: tuple[str, ...] = ("cpu",)
    """Where its layers can be put: it goes by `setup.device`."""
    library = ""
    """The one that finds the device."""
    batch_norm: type | None = None
    """That framework's own batch norm."""
    inherits = ""
    """`framework`, where the target is a subclass of its batch norm and declares no conventions itself."""
    target: Callable[..., Any]
    given: Keywords
    """The settings of a built layer, which a new one of its class is made with as well."""

    def note_mapping(self, paths: Mapping[str, str]) -> None:
        if self.tells_mapping:
            self.adapter_notes["wrapped"] = mapping_note(self.adapter, paths)

    def note_replaced(self, setup: Any, by_attribute: Mapping[str, Any]) -> None:
        """by_attribute: the numbers of a new layer that were replaced after it was built."""
        replaced = dict(by_attribute)
        for names, value in ((EPS, setup.eps), (MOMENTUM, setup.momentum)):
            name = first(names, self.given)
            if name and value is not None:
                replaced[name] = self.given[name]
        if replaced:
            self.adapter_notes["settings_replaced"] = replaced_note(replaced)


def adapter_for(
    base: type[Adapter], target: Callable[..., Any], given: Mapping[str, Any] | None = None, **defaults: Any
) -> type:
    """A subclass of `base` that builds `target`, with what the target declares, else `defaults`, as attributes.

    given: the settings of a built layer, where the target was one. A default of None is none.
    """
    declared = {name: value for name in DECLARED if (value := getattr(target, name, None)) is not None}
    known = {name: value for name, value in defaults.items() if value is not None} | declared
    promised = {name: getattr(target, name) for name in PROMISED if hasattr(target, name)}
    settings = dict(given or {})
    if "conventions" in settings:
        known["conventions"] = settings["conventions"]
    inherits = base.batch_norm is not None and isinstance(target, type) and issubclass(target, base.batch_norm)
    if inherits and "conventions" not in known:
        known |= {"conventions": base.framework, "inherits": base.framework}
    members = {"target": staticmethod(target), "given": settings, "adapter_notes": {}, "declared": tuple(known)}
    return type(called(target), (base,), members | promised | known)


# --- calling constructors and layers ---


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a class or function can be called with; what it hands on by **kwargs is looked up in its base classes."""
    parameters: dict[str, inspect.Parameter] = {}
    for signature in _signatures(target):
        parameters |= {
            name: parameter
            for name, parameter in signature.items()
            if name not in parameters and parameter.kind not in _VARIABLE
        }
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.values()):
            break
    return parameters


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
) -> Keywords:
    """The keywords to call a constructor or factory with: what `setup` says, under the names that it has.

    `others` are the framework's own (dtype, rngs ...), used where the signature has them; `given` are the settings of
    an object that is built anew, which only `setup` overrides. Raises AdapterError for what is required and unknown.
    """
    parameters = parameters_of(target)
    keywords = {name: value for name, value in (given or {}).items() if name in parameters}
    keywords |= {name: value for name, value in others.items() if name in parameters}
    for names, value in ((EPS, setup.eps), (MOMENTUM, setup.momentum), (NDIM, setup.ndim)):
        name = first(names, parameters)
        if name and value is not None:
            keywords[name] = value
    required = [name for name, p in parameters.items() if p.default is inspect.Parameter.empty and name not in keywords]
    width = first(FEATURES, parameters) or (required[0] if required else None)  # what a layer must be told first
    if width:
        keywords[width] = setup.num_features
    missing = [name for name in required if name not in keywords]
    numbers = [name for name in missing if first(EPS + MOMENTUM, [name])]
    if numbers:
        raise AdapterError(f"{called(target)} has no default for {' and '.join(numbers)}")
    if missing:
        raise AdapterError(
            f"{called(target)} needs {', '.join(missing)}, which bnproof cannot give; it knows width, eps, momentum, "
            f"rank. Wrap it in a factory: def make_norm(num_features, eps, momentum): return {called(target)}(...)"
        )
    return keywords


def first(names: Iterable[str], among: Iterable[str]) -> str | None:
    """The first of `names` that is among, whatever its case."""
    by_lower_case = {name.lower(): name for name in among}
    return next((by_lower_case[name] for name in names if name in by_lower_case), None)


def set_numbers(layer: Any, setup: Any, taken: Iterable[str], trains: bool = True) -> Keywords:
    """Set the eps and momentum that the constructor did not take as attributes, and return what they were before.

    Raises AdapterError where there is no such attribute.
    """
    before: Keywords = {}
    for what, names, value in (("eps", EPS, setup.eps), ("momentum", MOMENTUM, setup.momentum)):
        if value is None or first(names, taken) or (what == "momentum" and not trains):
            continue
        name = first(names, [attribute for attribute in dir(layer) if not attribute.startswith("__")])
        if name is None:
            raise AdapterError(
                f"{called(type(layer))} lets nobody set {what}: no argument and no attribute called "
                f"{' or '.join(names)}; its constructor takes ({', '.join(taken)}). Make {what} an argument"
            )
        before[name] = getattr(layer, name)
        setattr(layer, name, value)
    return before


def replaced_note(replaced: Mapping[str, Any]) -> str:
    """replaced: the settings that a layer came with, by name."""
    listed = " and ".join(f"{name}={value!r}" for name, value in replaced.items())
    text = f"the layer comes with {listed}; each case sets its own"
    cumulative = first(MOMENTUM, [name for name, value in replaced.items() if value is None])
    return text + (f": what it does with {cumulative}=None, a cumulative average, is not judged" if cumulative else "")


# --- finding the four arrays ---


def find_arrays(shapes: Mapping[str, tuple[int, ...]], features: int) -> dict[str, str]:
    """{"gamma": the path of the array that is gamma, ...}: by the last part of its name, and its size.

    shapes: path -> shape. An array that is not found is absent from the result.
    """
    fitting = [path for path, shape in shapes.items() if int(np.prod(shape)) == features]
    paths: dict[str, str] = {}
    for ours, names in ARRAYS.items():
        by_name = {_last(path): path for path in reversed(fitting) if path not in paths.values()}
        similar = (name for name in by_name if any(known in name for known in names if len(known) > 2))
        name = first(names, by_name) or next(similar, None)
        if name:
            paths[ours] = by_name[name]
    return paths


def _last(path: str) -> str:
    return path.rpartition(".")[2].strip("_").lower()


def require(paths: Mapping[str, str], names: Iterable[str], shapes: Mapping[str, tuple[int, ...]], layer: str) -> None:
    """Raises AdapterError for a missing array, with everything that was seen in the layer."""
    missing = [name for name in names if name not in paths]
    if missing:
        listed = ", ".join(f"{path} {shape}" for path, shape in shapes.items()) or "nothing"
        raise AdapterError(
            f"no {' and no '.join(missing)} in {layer}: seen {listed}; looked for "
            f"{', '.join(ARRAYS[missing[0]])} of as many values as channels"
        )


def flat(array: Any) -> Any:
    """NumPy's or JAX's with one axis: as it is where it has no other, since JAX compiles a program to copy it."""
    return array if array.ndim == 1 else array.ravel()


def mapping_note(kind: str, paths: Mapping[str, str]) -> str:
    mapping = ", ".join(f"{ours} is {theirs}" for ours, theirs in paths.items())
    absent = [name for name in ARRAYS if name not in paths]
    return f"taken for {kind}: {mapping}" + (f"; without {' and '.join(absent)}" if absent else "")


def check_read_back(setup: Any, values: Mapping[str, Any]) -> None:
    """What was just set must be what is read. Raises AdapterError."""
    for name, value in values.items():
        if not np.array_equal(np.asarray(value, np.float64).ravel(), getattr(setup, name).astype(np.float64)):
            raise AdapterError(f"{name} was set to {getattr(setup, name)[:3]}... and reads {np.ravel(value)[:3]}...")


# --- mode, names and settings ---


def mode_argument(call: Callable[..., Any], training: bool) -> dict[str, bool]:
    """{"training": True} and the like, as the signature of `call` has it; {} where it has none."""
    parameters = parameters_of(call)
    name = first(TRAINING, parameters)
    if name:
        return {name: training}
    name = first(PREDICTING, parameters)
    return {name: not training} if name else {}


def called(target: Any) -> str:
    return getattr(target, "__name__", None) or type(target).__name__


def settings_of(layer: Any) -> Keywords:
    """The constructor arguments of a built object, as far as it keeps them under their names, as plain values."""
    kept = {name: getattr(layer, name, layer) for name in parameters_of(type(layer))}
    plain = (bool, int, float, str, tuple, Conventions, type(None))
    return {name: value for name, value in kept.items() if isinstance(value, plain)}
