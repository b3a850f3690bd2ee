"""What is asked of a player, as JSON: the suite writes it, a player in Python reads it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from harness.cases.script import Directions, Script, Setup, Step
from harness.targets.wire.arrays import from_wire, to_wire

VERSION = 1
PARAMETERS = ("gamma", "beta", "moving_mean", "moving_var")


def start_line(target: str, device: str, threads: int | None, layer: str = "", through: str = "") -> bytes:
    request = {"cmd": "start", "wire": VERSION, "target": target, "device": device, "threads": threads or 1}
    optional = {"layer": layer, "through": through}
    return _line(request | {name: value for name, value in optional.items() if value})


def stop_line() -> bytes:
    return _line({"cmd": "stop"})


def play_body(script: Script, channel_axis: int) -> str:
    """The script as the inside of a request, to be sent under several numbers.

    script: with x and dy as the target takes them, its channels on `channel_axis`.
    """
    setups, steps = [_setup(setup) for setup in script.setups], [_step(step) for step in script.steps]
    return json.dumps({"channel_axis": channel_axis, "setups": setups, "steps": steps})[1:-1]


def play_line(seq: int, body: str, warm_up: bool) -> bytes:
    first = f'"cmd": "play", "seq": {seq}, ' + ('"warm_up": true, ' if warm_up else "")
    return f"{{{first}{body}}}\n".encode("ascii")


def repeat_line(seq: int, bodies: list[str], plays: int, seconds: float) -> bytes:
    """Have scripts played in turn, so many plays and so long at most. For a player that says that it `repeats`."""
    scripts = ", ".join(f"{{{body}}}" for body in bodies)
    limits = f'"plays": {plays}, "seconds": {seconds}'
    return f'{{"cmd": "repeat", "seq": {seq}, {limits}, "scripts": [{scripts}]}}\n'.encode("ascii")


def _line(request: dict[str, Any]) -> bytes:
    return (json.dumps(request) + "\n").encode("ascii")


def _setup(setup: Setup) -> dict[str, Any]:
    numbers = {name: getattr(setup, name) for name in ("num_features", "ndim", "dtype", "eps", "momentum")}
    cumulative = {"cumulative": True} if setup.cumulative else {}
    return numbers | cumulative | {name: _array(getattr(setup, name)) for name in PARAMETERS}


def _step(step: Step) -> dict[str, Any]:
    written: dict[str, Any] = {"op": step.op, "session": step.session}
    arrays = {"x": step.x, "dy": step.dy, "mask": step.mask}
    written |= {name: to_wire(array) for name, array in arrays.items() if array is not None}
    if step.directions is not None:
        written |= {name: to_wire(getattr(step.directions, of)) for of, name in _names(step.op).items()}
    layouts = {"layout": step.layout, "dy_layout": step.dy_layout}
    return written | {name: layout for name, layout in layouts.items() if layout != "plain"}


def _array(array: np.ndarray | None) -> dict[str, Any] | None:
    return None if array is None else to_wire(array)


def script_from(request: dict[str, Any], device: str) -> Script:
    """The script of a request. Raises WireError, KeyError or TypeError for what is no script."""
    setups = [Setup(**_with_arrays(setup, PARAMETERS), device=device) for setup in request["setups"]]
    return Script(tuple(setups), tuple(_step_from(step) for step in request["steps"]))


def _step_from(written: dict[str, Any]) -> Step:
    names = _names(written["op"])
    directions = None
    if all(name in written for name in names.values()):
        directions = Directions(**{of: from_wire(written[name], name) for of, name in names.items()})
    ordinary = {name: value for name, value in written.items() if name not in names.values()}
    return Step(**_with_arrays(ordinary, ("x", "dy", "mask")), directions=directions)


def _names(op: str) -> dict[str, str]:
    """A direction -> its name in a step: tx, tgamma, tbeta in forward mode, else ddx, ddgamma, ddbeta."""
    prefix = "t" if op.endswith("jvp") else "dd"
    return {of: prefix + of for of in ("x", "gamma", "beta")}


def _with_arrays(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    arrays = {name: from_wire(fields[name], name) for name in names if fields.get(name) is not None}
    return {**fields, **arrays}
