"""What has been named on the command line, without a line of adapter code: whose layer is it, and how is it wrapped?

A contract class passes as it is. A class, factory or object of a framework's own layer type is wrapped, and so is a
batch norm written as a function. No framework is imported here that the target has not imported itself.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

from harness.errors import UsageError
from harness.place import module
from harness.targets.wrap import common

FRAMEWORKS = (
    # Keras first: on its torch backend a Keras layer is a torch module as well.
    ("keras", "Layer", module("harness.targets.wrap.keras_layer")),
    ("torch.nn", "Module", module("harness.targets.wrap.torch_module")),
    ("flax.nnx", "Module", module("harness.targets.wrap.nnx_module")),
    ("flax.linen", "Module", module("harness.targets.wrap.linen_module")),
)
CONTRACT = ("train", "eval", "stats")


class NotRecognisedError(UsageError):
    """It is neither the contract nor a layer that can be wrapped."""


def recognise(target: Any, path: str = "") -> Any:
    """A factory that takes a `setup`. Raises NotRecognisedError that names what was seen."""
    if path:
        target = inside(target, path)
    wrapper = wrapper_of(target)
    if wrapper is None:
        return _neither_layer_nor_object(target)
    if isinstance(target, type):
        return wrapper.wrap(target)
    if _is_scripted(target):
        raise NotRecognisedError(
            "it is a module compiled by TorchScript, which cannot be built again with other sizes and numbers; name "
            "the class that was scripted, or a factory: "
            "def make_norm(num_features, eps, momentum): return torch.jit.script(Norm(num_features, eps, momentum))"
        )
    if _parts(target) and not _is_batch_norm_by_name(target):
        seen = ", ".join(f"{name}: {type(part).__name__}" for name, part in _parts(target).items())
        raise NotRecognisedError(
            f"{type(target).__name__} is a model; name the layer in it with --layer PATH. It holds {seen}"
        )
    return wrapper.wrap(type(target), common.settings_of(target))


def wrapper_of(target: Any) -> Any:
    """The module that wraps this class or object, or None."""
    kind = target if isinstance(target, type) else type(target)
    for name, base, wrapper in FRAMEWORKS:
        framework = sys.modules.get(name)
        if framework is not None and issubclass(kind, getattr(framework, base)):
            return importlib.import_module(wrapper)
    return None


def _neither_layer_nor_object(target: Any) -> Any:
    """A contract class, a function that is a batch norm, or a factory."""
    if isinstance(target, type):
        return _contract(target)
    if not callable(target):
        raise NotRecognisedError(f"it is a {type(target).__name__}; expected a class, a layer, a factory or a function")
    takes = common.parameters_of(target)
    if "setup" in takes:
        return target
    if len(takes) > 2:
        from harness.targets.wrap import function

        if function.is_batch_norm(target):
            return function.wrap(target)
    return _factory(target, takes)


def _contract(target: type) -> type:
    if not any(hasattr(target, name) for name in CONTRACT[:2]):
        raise NotRecognisedError(
            f"{target.__name__} has neither `train(self, x, dy)` nor `eval(self, x, dy)` (see the README), and is no "
            "layer of torch, flax or Keras"
        )
    try:
        inspect.signature(target).bind(None)
    except TypeError as error:
        raise NotRecognisedError(
            f"{target.__name__} cannot be built from one argument, `setup`: {error}; its constructor takes "
            f"({', '.join(inspect.signature(target).parameters)})"
        ) from error
    except ValueError:
        pass  # a class written in C shows no signature
    return target


class _Trial:
    """A setup to make a factory's first object with: only its type is looked at."""

    num_features, ndim, dtype, eps, momentum = 3, 4, "float32", 1e-5, 0.125


def _factory(target: Any, takes: dict[str, inspect.Parameter]) -> Any:
    """A function that makes a layer: called once to see whose layer it is."""
    try:
        rngs = {"rngs": sys.modules["flax.nnx"].Rngs(0)} if "rngs" in takes and "flax.nnx" in sys.modules else {}
        made = target(**common.arguments(target, _Trial, rngs))
    except Exception as error:
        raise NotRecognisedError(
            f"{common.called(target)}({', '.join(takes)}) is no batch norm as a function (x, gamma, beta, ...), and "
            f"failed as a factory of one: {type(error).__name__}: {error}"
        ) from error
    wrapper = wrapper_of(made)
    if wrapper is None:
        raise NotRecognisedError(
            f"{common.called(target)}({', '.join(takes)}) returned a {type(made).__name__}: no layer of torch, flax or "
            "Keras. A class with train, eval and stats can always be checked (see the README)"
        )
    return wrapper.wrap(target)


def inside(model: Any, path: str) -> Any:
    """The part of a model at a path such as 1, features.3 or block.norm. A class is built first, without arguments."""
    if isinstance(model, type) or (callable(model) and wrapper_of(model) is None):
        try:
            model = model()
        except TypeError as error:
            raise NotRecognisedError(f"--layer {path}: the model cannot be built without arguments: {error}") from error
    part, walked = model, ""
    for name in path.split("."):
        parts = _parts(part)
        if name not in parts and not hasattr(part, name):
            where = f"{walked or 'the model'} ({type(part).__name__})"
            seen = ", ".join(f"{n}: {type(p).__name__}" for n, p in parts.items()) or "no parts"
            raise NotRecognisedError(f"--layer {path}: {where} has no {name!r}; it holds {seen}")
        part = parts[name] if name in parts else getattr(part, name)
        walked = f"{walked}.{name}".strip(".")
    return part


def _parts(model: Any) -> dict[str, Any]:
    """The layers directly inside a model, by name or number."""
    if hasattr(model, "named_children"):
        return dict(model.named_children())
    listed = getattr(model, "layers", model)
    if isinstance(listed, (list, tuple)):
        return {str(number): one for number, one in enumerate(listed)}
    return {name: one for name, one in vars(model).items() if wrapper_of(one) is not None and name != "parent"}


def _is_scripted(layer: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(layer, torch.jit.ScriptModule)


def _is_batch_norm_by_name(layer: Any) -> bool:
    return "norm" in type(layer).__name__.lower()
