"""Errors against the wider bounds of a mistake of rounding."""

import numpy as np

from harness.diagnose.rounding import _largest_ratio
from harness.judge.expected import Expected
from harness.targets.player import StepResult


def test_a_step_without_gradients_is_judged_by_what_it_has():
    """A training step with gradients off has no dx, whatever its bounds name."""
    result = StepResult("train_no_grad", 0, {"y": np.array([[3.0, 1.0]])})
    expected = Expected({"y": np.array([[1.0, 1.0]])}, {"y": np.array([[0.5, 0.5]]), "dx": np.array([[0.5, 0.5]])})
    assert _largest_ratio(result, expected, expected.bounds) == 4.0
