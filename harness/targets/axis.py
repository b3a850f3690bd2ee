"""The suite has channels on axis 1; a target has them where its conventions say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.cases.script import Script, Step
from harness.observables import LIKE_X
from harness.targets.player import Observation


def for_target(script: Script, channel_axis: int) -> Script:
    """The script with x and dy as the target takes them."""
    if channel_axis == 1:
        return script
    return replace(script, steps=tuple(_moved(step, channel_axis) for step in script.steps))


def _moved(step: Step, channel_axis: int) -> Step:
    if step.x is None or step.dy is None:
        return step
    directions = step.directions
    if directions is not None:
        directions = replace(directions, x=np.moveaxis(directions.x, 1, channel_axis))
    x, dy = (np.moveaxis(array, 1, channel_axis) for array in (step.x, step.dy))
    return replace(step, x=x, dy=dy, directions=directions)


def for_suite(observation: Observation, script: Script, channel_axis: int) -> Observation:
    """The same observation, its arrays of x's rank with their channels back on axis 1."""
    if channel_axis != 1:
        for result, step in zip(observation.steps, script.steps):  # noqa: B905 - up to the step that failed; Python 3.9
            for name in LIKE_X:
                value = result.values.get(name)
                if value is not None and step.x is not None and value.ndim == step.x.ndim:
                    result.values[name] = np.ascontiguousarray(np.moveaxis(value, channel_axis, 1))
    return observation
