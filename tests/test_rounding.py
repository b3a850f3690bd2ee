"""Errors against the wider bounds of a mistake of rounding."""

import dataclasses

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.diagnose.rounding import _largest_ratio, factors_of_movement
from harness.judge.expected import Expected
from harness.judge.prepare import prepare
from harness.judge.report import PlayedCase
from harness.targets.player import Observation, StepResult
from reference.conventions import PRESETS


def test_a_step_without_gradients_is_judged_by_what_it_has():
    """A training step with gradients off has no dx, whatever its bounds name."""
    result = StepResult("train_no_grad", 0, {"y": np.array([[3.0, 1.0]])})
    expected = Expected({"y": np.array([[1.0, 1.0]])}, {"y": np.array([[0.5, 0.5]]), "dx": np.array([[0.5, 0.5]])})
    assert _largest_ratio(result, expected, expected.bounds) == 4.0


def test_a_statistic_that_overflowed_before_moves_by_no_factor():
    """inf - inf is no number, and no warning either."""
    case = BY_ID["five_steps"]
    prepared = prepare(case, "float32", 0, PRESETS["d2l"])
    infinite = {"moving_var": np.full(case.shape[1], np.inf, np.float32)}
    script = prepared.script
    setups = tuple(dataclasses.replace(setup, **infinite) for setup in script.setups)
    script = dataclasses.replace(script, setups=setups)
    observation = Observation([StepResult(step.op, step.session, dict(infinite)) for step in script.steps])
    played = PlayedCase(case, "float32", script, prepared.expected, observation, [])
    assert None in [*factors_of_movement(played)]
