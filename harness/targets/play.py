"""Play a script on a target in Python: build its sessions, make the calls, copy what comes back.

It runs where the target runs, in any Python from 3.9 on with NumPy, and holds no opinion: judging is done elsewhere.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.cases.script import Script, Setup, Step
from harness.observables import STATISTICS, returned_by
from harness.targets.axis import for_suite, for_target
from harness.targets.player import Failure, FormError, Malformed, Observation, StepResult, same_bits

LONGEST_MESSAGE = 500
PARAMETERS = ("gamma", "beta", "moving_mean", "moving_var")
OFFSET = 3
"""Values before a view that starts within a larger array: no boundary of 8 bytes or more is kept."""


def play(factory: Any, script: Script, channel_axis: int, device: str = "cpu") -> Observation:
    """Run `script` on objects made by `factory(setup)`, which have their channels on `channel_axis`."""
    observation = play_as_given(factory, for_target(script, channel_axis), channel_axis, device)
    return for_suite(observation, script, channel_axis)


def play_as_given(factory: Any, script: Script, channel_axis: int, device: str = "cpu") -> Observation:
    """The same for a script whose x and dy are as the target takes them, and so are y and dx of what it gives.

    Exceptions of the target become part of the result.
    """
    script = replace(script, setups=tuple(replace(setup, device=device) for setup in script.setups))
    observation = Observation()
    sessions: list[Any] = []
    try:
        sessions = [factory(_own_arrays(setup)) for setup in script.setups]
    except NotImplementedError as error:
        observation.build_unsupported = str(failure(error))
        return observation
    except Exception as error:
        observation.build_error = failure(error)
        return observation
    kept: list[ReturnedArray] = []
    for step in script.steps:
        result = _play_step(factory, sessions, script.setups[step.session], step, channel_axis, kept)
        observation.steps.append(result)
        if result.error or result.unsupported:
            break
    observation.overwritten = tuple(dict.fromkeys(each.name for each in kept if each.has_changed()))
    return observation


@dataclass(frozen=True)
class ReturnedArray:
    """An array that a call returned, and what it held then."""

    name: str
    array: np.ndarray
    content: bytes

    def has_changed(self) -> bool:
        return self.array.tobytes() != self.content


def failure(error: BaseException) -> Failure:
    """An exception as data. One whose own message cannot be had is told by its type alone."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    return Failure(type(error).__name__, message[:LONGEST_MESSAGE])


def _play_step(
    factory: Any, sessions: list[Any], setup: Setup, step: Step, channel_axis: int, kept: list[ReturnedArray]
) -> StepResult:
    result = StepResult(step.op, step.session)
    try:
        if step.restores:
            sessions[step.session] = _restored(factory, sessions[step.session], setup, step, channel_axis)
        else:
            kept += _call(sessions[step.session], step, channel_axis, result)
        _read_statistics(sessions[step.session], result)
        _compare_replicas(sessions[step.session], result)
    except _LacksMethodError as reason:
        result.unsupported = str(reason)
    except NotImplementedError as error:
        result.unsupported = str(failure(error))
    except Exception as error:
        result.error = failure(error)
        if step.layout == "read_only":
            result.mutated = _writes_when_it_may(factory, setup, step, channel_axis)
    return result


class _LacksMethodError(Exception):
    """The target lacks an optional method."""


def _method(target: Any, name: str) -> Any:
    method = getattr(target, name, None)
    if method is None:
        raise _LacksMethodError(f"the target has no `{name}`")
    return method


def _call(target: Any, step: Step, channel_axis: int, result: StepResult) -> list[ReturnedArray]:
    """Make the call, put what came into `result`, and return the very arrays that came."""
    assert step.x is not None
    assert step.dy is not None
    method = _method(target, step.op)
    x = laid_out(step.x, step.layout, channel_axis)
    dy = laid_out(step.dy, step.dy_layout, channel_axis)
    given = {"x": (x, step.x), "dy": (dy, step.dy)}
    returned = method(*_arguments(step, x, dy), **_mask(target, method, step))
    result.mutated = tuple(name for name, (now, before) in given.items() if now.tobytes() != before.tobytes())
    _store(returned, returned_by(step.op), result)
    arrays = returned.items() if isinstance(returned, dict) else ()
    return [ReturnedArray(name, array, array.tobytes()) for name, array in arrays if isinstance(array, np.ndarray)]


def _mask(target: Any, method: Any, step: Step) -> dict[str, Any]:
    """The mask of a step as an argument: none of a step without one, unless the method insists."""
    if getattr(target, "masked", False) is not True:
        if step.mask is not None:
            raise NotImplementedError("the target does not say `masked = True`")
        return {}
    parameter = inspect.signature(method).parameters.get("mask")
    if step.mask is not None:
        if parameter is None:
            raise NotImplementedError(f"its `{step.op}` takes no `mask`")
        return {"mask": step.mask.copy()}
    return {} if parameter is None or parameter.default is not parameter.empty else {"mask": None}


def _arguments(step: Step, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
    if step.op == "train_no_grad":
        return (x,)
    if step.directions is None:
        return x, dy
    directions = (step.directions.x, step.directions.gamma, step.directions.beta)
    copies = [np.array(array, order="C", copy=True) for array in directions]
    return (x, *copies) if step.op.endswith("jvp") else (x, dy, *copies)


def _writes_when_it_may(factory: Any, setup: Setup, step: Step, channel_axis: int) -> tuple[str, ...]:
    """Which inputs a new object writes to once they are writable: why it failed on those that are not."""
    retried = StepResult(step.op, step.session)
    try:
        _call(factory(_own_arrays(setup)), replace(step, layout="plain", dy_layout="plain"), channel_axis, retried)
    except Exception:
        return ()
    return retried.mutated


def _read_statistics(target: Any, result: StepResult) -> None:
    stats = getattr(target, "stats", None)
    if stats is not None:
        _store(stats(), STATISTICS, result)


def _compare_replicas(target: Any, result: StepResult) -> None:
    """The moving statistics of all replicas, where the target shows them, against those of the first."""
    replica_stats = getattr(target, "replica_stats", None)
    if replica_stats is None:
        return
    first, *others = replica_stats()
    for number, stats in enumerate(others, start=1):
        apart = [name for name in first if not same_bits(np.asarray(first[name]), np.asarray(stats[name]))]
        if apart:
            result.replicas_disagree = f"{' and '.join(apart)} of replica {number} is not what replica 0 has"
            return


def _store(returned: Any, names: tuple[str, ...], result: StepResult) -> None:
    """Copy the named arrays."""
    if returned is None:
        returned = {}
    if not isinstance(returned, dict):
        message = f"expected a dict with names among {', '.join(names)}, got {type(returned).__name__}"
        result.malformed = Malformed(FormError.not_a_dict, message)
        return
    unknown = [name for name in returned if name not in names]
    if unknown:
        message = f"unknown name {unknown[0]!r}: expected names among {', '.join(names)}"
        result.malformed = Malformed(FormError.unknown_name, message)
    for name in names:
        if returned.get(name) is not None:
            result.values[name] = np.ascontiguousarray(np.array(returned[name], copy=True))


def _restored(factory: Any, target: Any, setup: Setup, step: Step, channel_axis: int) -> Any:
    """Another object that starts from other numbers, and may have been used, and gets the old one's saved state."""
    saved = _method(target, "state")()
    other = factory(_own_arrays(_untouched(setup)))
    if step.op == "restore_used":
        _call(other, replace(step, op="train"), channel_axis, StepResult("train", step.session))
    _method(other, "load_state")(saved)
    return other


def _own_arrays(setup: Setup) -> Setup:
    """Each object gets arrays of its own: a target may keep and change what it was given."""
    return _with_arrays(setup, dict.fromkeys(PARAMETERS, np.copy))


def _untouched(setup: Setup) -> Setup:
    """Of a layer that nothing has been done to: gamma and the moving variance are 1, beta and the moving mean 0."""
    make = {"gamma": np.ones_like, "beta": np.zeros_like, "moving_mean": np.zeros_like, "moving_var": np.ones_like}
    return _with_arrays(setup, make)


def _with_arrays(setup: Setup, make: dict[str, Any]) -> Setup:
    """The setup with arrays that are made of its own; what the layer is built without stays None."""
    given = {name: getattr(setup, name) for name in PARAMETERS}
    arrays: dict[str, Any] = {name: make[name](array) for name, array in given.items() if array is not None}
    return replace(setup, **arrays)


def laid_out(x: np.ndarray, layout: str, channel_axis: int = 1) -> np.ndarray:
    """A copy of x that lies in memory as `layout`, one of LAYOUTS, says."""
    if layout == "sliced":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "transposed":
        return np.ascontiguousarray(x.T).T
    if layout == "moved_channels":
        other = -1 if channel_axis == 1 else 1
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, channel_axis, other)), other, channel_axis)
    if layout == "reversed":
        backwards = (slice(None, None, -1),) * x.ndim
        return np.ascontiguousarray(x[backwards])[backwards]
    if layout == "broadcast":
        first = np.array(x[:1], order="C", copy=True)
        return np.lib.stride_tricks.as_strided(first, x.shape, (0, *first.strides[1:]))
    if layout == "offset":
        larger = np.full(x.size + OFFSET + 1, 7, x.dtype)
        view = larger[OFFSET:-1].reshape(x.shape)
        view[...] = x
        return view
    copy = np.array(x, order="C", copy=True)
    if layout == "read_only":
        copy.flags.writeable = False
    return copy
