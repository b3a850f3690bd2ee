"""Play a script on a target: build its sessions, make the calls, copy what comes back.

This is the one place that knows both the contract of a target and the suite's own layout (channels on axis 1).
It runs inside the target's own process and holds no opinion: judging is `verdict.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.cases.case import Script, Setup, Step

STEP_NAMES = ("y", "dx", "dgamma", "dbeta")
STAT_NAMES = ("moving_mean", "moving_var")


@dataclass
class Played:
    """What one step gave. Arrays are copies, with channels on axis 1; `values` lacks what the target lacks."""

    op: str
    session: int
    values: dict[str, np.ndarray] = field(default_factory=dict)
    error: str | None = None  # the exception, as "Type: message"
    unsupported: str | None = None  # why the target cannot do this step
    mutated: tuple[str, ...] = ()  # which of x, dy the target wrote to
    malformed: str | None = None  # a result that is not what the contract says


@dataclass
class Observation:
    """All steps up to the first that could not be made; `build_error` where there was no object at all."""

    steps: list[Played] = field(default_factory=list)
    build_error: str | None = None
    build_unsupported: str | None = None


def play(factory: Any, script: Script, channel_axis: int) -> Observation:
    """Run `script` on objects made by `factory(setup)`. Exceptions of the target become part of the result."""
    seen = Observation()
    sessions: list[Any] = []
    try:
        sessions = [factory(_own_arrays(setup)) for setup in script.setups]
    except NotImplementedError as error:
        seen.build_unsupported = describe(error)
        return seen
    except Exception as error:
        seen.build_error = describe(error)
        return seen
    for step in script.steps:
        played = _play_step(factory, sessions, script.setups[step.session], step, channel_axis)
        seen.steps.append(played)
        if played.error or played.unsupported:
            break
    return seen


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _play_step(factory: Any, sessions: list[Any], setup: Setup, step: Step, channel_axis: int) -> Played:
    played = Played(step.op, step.session)
    try:
        if step.op == "restore":
            sessions[step.session] = _restored(factory, sessions[step.session], setup)
        else:
            _call(sessions[step.session], step, channel_axis, played)
        _read_stats(sessions[step.session], played)
    except _UnsupportedError as reason:
        played.unsupported = str(reason)
    except NotImplementedError as error:
        played.unsupported = describe(error)
    except Exception as error:
        played.error = describe(error)
    return played


class _UnsupportedError(Exception):
    """The target lacks an optional method."""


def _method(target: Any, name: str) -> Any:
    method = getattr(target, name, None)
    if method is None:
        raise _UnsupportedError(f"the target has no `{name}`")
    return method


def _call(target: Any, step: Step, channel_axis: int, played: Played) -> None:
    assert step.x is not None
    assert step.dy is not None
    method = _method(target, step.op)
    x = laid_out(np.moveaxis(step.x, 1, channel_axis), step.layout)
    dy = laid_out(np.moveaxis(step.dy, 1, channel_axis), step.layout)
    result = method(x) if step.op == "train_no_grad" else method(x, dy)
    given = {"x": (x, step.x), "dy": (dy, step.dy)}
    played.mutated = tuple(
        name
        for name, (now, before) in given.items()
        if np.moveaxis(now, channel_axis, 1).tobytes() != np.ascontiguousarray(before).tobytes()
    )
    _store(result, STEP_NAMES, step.x.ndim, channel_axis, played)


def _read_stats(target: Any, played: Played) -> None:
    stats = getattr(target, "stats", None)
    if stats is not None:
        _store(stats(), STAT_NAMES, 0, 1, played)


def _store(result: Any, names: tuple[str, ...], ndim: int, channel_axis: int, played: Played) -> None:
    """Copy the named arrays; arrays of x's rank get their channels back to axis 1."""
    if result is None:
        result = {}
    if not isinstance(result, dict):
        kind = type(result).__name__
        played.malformed = f"expected a dict with names among {', '.join(names)}, got {kind}"
        return
    unknown = [name for name in result if name not in names]
    if unknown:
        played.malformed = f"unknown name {unknown[0]!r}: expected names among {', '.join(names)}"
    for name in names:
        if result.get(name) is None:
            continue
        value = np.array(result[name], copy=True)
        if name in ("y", "dx") and value.ndim == ndim:
            value = np.moveaxis(value, channel_axis, 1)
        played.values[name] = np.ascontiguousarray(value)


def _restored(factory: Any, target: Any, setup: Setup) -> Any:
    """A new object that starts from other numbers and gets the old one's saved state."""
    saved = _method(target, "state")()
    ones, zeros = np.ones_like(setup.gamma), np.zeros_like(setup.gamma)
    fresh = factory(replace(setup, gamma=ones, beta=zeros, moving_mean=zeros, moving_var=ones))
    _method(fresh, "load_state")(saved)
    return fresh


def _own_arrays(setup: Setup) -> Setup:
    """Each object gets arrays of its own: a target may keep and change what it was given."""
    return replace(
        setup,
        gamma=setup.gamma.copy(),
        beta=setup.beta.copy(),
        moving_mean=setup.moving_mean.copy(),
        moving_var=setup.moving_var.copy(),
    )


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """A copy of x that lies in memory as `layout` says."""
    if layout == "sliced":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "transposed":
        return np.ascontiguousarray(x.T).T
    copy = np.array(x, order="C", copy=True)
    if layout == "read_only":
        copy.flags.writeable = False
    return copy
