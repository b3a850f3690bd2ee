"""Forward mode and second derivatives of a Keras layer, on the backend that the process has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from harness.targets.results import Results


def twice(layer: Any, point: Sequence[Any], dy: Any, directions: Sequence[Any], training: bool) -> Results:
    """{"dx2", "ddy", "dgamma2"} at point, x and the variables gamma and beta. Raises NotImplementedError."""
    return TWICE[keras.config.backend()](layer, point, dy, directions, training)


def tangent(layer: Any, point: Sequence[Any], tangents: Sequence[Any], training: bool) -> Results:
    """{"ty"}. Raises NotImplementedError."""
    return TANGENT[keras.config.backend()](layer, point, tangents, training)


def _twice_by_torch(layer: Any, point: Sequence[Any], dy: Any, directions: Sequence[Any], training: bool) -> Results:
    from harness.targets.wrap import torch_derivatives

    x, *variables = point
    leaf, upstream = (tensor.detach().requires_grad_() for tensor in (x, dy))
    inputs = (leaf, *(variable.value for variable in variables))
    return torch_derivatives.twice(layer(leaf, training=training), inputs, upstream, directions)


def _tangent_by_torch(layer: Any, point: Sequence[Any], tangents: Sequence[Any], training: bool) -> Results:
    from harness.targets.wrap import torch_derivatives

    x, *variables = point
    held = [variable._value for variable in variables]
    try:
        with torch_derivatives.duals((x, *held), tangents) as (dual_x, *parameters):
            for variable, dual in zip(variables, parameters):  # noqa: B905 - Python 3.9
                variable._value = dual
            return {"ty": torch_derivatives.tangent_of(layer(dual_x, training=training))}
    except RuntimeError as error:
        raise NotImplementedError(f"PyTorch has no forward mode for it: {error}") from error
    finally:
        for variable, value in zip(variables, held):  # noqa: B905
            variable._value = value


def _y_of(layer: Any, variables: Sequence[Any], training: bool) -> Any:
    """y as a function of (x, gamma, beta), without what the call does to the statistics."""
    constants = [variable.value for variable in layer.non_trainable_variables]
    trainable = [(id(variable), variable.value) for variable in layer.trainable_variables]

    def y_of(x: Any, *values: Any) -> Any:
        named = dict(zip(map(id, variables), values))  # noqa: B905 - Python 3.9
        given = [named.get(key, value) for key, value in trainable]
        return layer.stateless_call(given, constants, x, training=training)[0]

    return y_of


def _twice_by_jax(layer: Any, point: Sequence[Any], dy: Any, directions: Sequence[Any], training: bool) -> Results:
    from harness.targets.wrap import jax_derivatives

    x, *variables = point
    values = (x, *(variable.value for variable in variables))
    return jax_derivatives.twice(_y_of(layer, variables, training), values, dy, directions)


def _tangent_by_jax(layer: Any, point: Sequence[Any], tangents: Sequence[Any], training: bool) -> Results:
    from harness.targets.wrap import jax_derivatives

    x, *variables = point
    values = (x, *(variable.value for variable in variables))
    return jax_derivatives.tangent(_y_of(layer, variables, training), values, tangents)


def _twice_by_tensorflow(
    layer: Any, point: Sequence[Any], dy: Any, directions: Sequence[Any], training: bool
) -> Results:
    import tensorflow as tf

    x, *variables = point
    gamma, beta = (variable.value for variable in variables)
    zero = tf.UnconnectedGradients.ZERO
    with tf.GradientTape() as outer:
        outer.watch((x, dy))
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = layer(x, training=training)
        first = inner.gradient(y, (x, gamma, beta), output_gradients=dy)
    try:
        second = outer.gradient(first, (x, dy, gamma), output_gradients=tuple(directions), unconnected_gradients=zero)
    except LookupError as error:  # an operation without a gradient of its gradient
        raise NotImplementedError(f"TensorFlow cannot differentiate it twice: {error}") from error
    return dict(zip(("dx2", "ddy", "dgamma2"), second))  # noqa: B905 - Python 3.9


def _tangent_by_tensorflow(layer: Any, point: Sequence[Any], tangents: Sequence[Any], training: bool) -> Results:
    import tensorflow as tf

    x, *variables = point
    primals = (x, *(variable.value for variable in variables))
    with tf.autodiff.ForwardAccumulator(primals, tuple(tangents)) as accumulator:
        y = layer(x, training=training)
    return {"ty": accumulator.jvp(y)}


TWICE = {"torch": _twice_by_torch, "jax": _twice_by_jax, "tensorflow": _twice_by_tensorflow}
TANGENT = {"torch": _tangent_by_torch, "jax": _tangent_by_jax, "tensorflow": _tangent_by_tensorflow}
