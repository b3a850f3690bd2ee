"""Targets played and judged in this process, by the path that `check` takes."""

from harness.cases.catalogue import CASES
from harness.check import CheckOptions, check_target
from harness.targets.in_process import InProcessTarget


def checked(target, seed=0, cases=CASES, diagnosed=True):
    """The report of a target on `cases`."""
    return check_target(InProcessTarget(target), CheckOptions(cases, seed, diagnosed=diagnosed))
