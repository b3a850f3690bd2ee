"""Targets played and judged in this process, by the path that `check` takes."""

import time
from functools import lru_cache

from harness.cases.catalogue import CASES
from harness.check import CheckOptions, check_target
from harness.diagnose.diagnose import diagnose
from harness.targets.in_process import InProcessTarget


def checked(target, seed=0, cases=CASES, diagnosed=True):
    """The report of a target on `cases`."""
    return check_target(InProcessTarget(target), CheckOptions(cases, seed, diagnosed=diagnosed))


@lru_cache(4)
def diagnosed(target):
    """(its report on every case, the processor seconds that the diagnosis took), for all tests that ask in a row."""
    report = checked(target, diagnosed=False)
    started = time.process_time()
    report.diagnosis = diagnose(report)
    return report, time.process_time() - started
