"""Targets played and judged in this process, by the path that `check` takes."""

import time
from functools import lru_cache

from harness.cases.catalogue import CASES, suite
from harness.cases.catalogue.derivatives import DERIVATIVES
from harness.cases.catalogue.options import OPTIONS
from harness.check import CheckOptions, check_target
from harness.diagnose.diagnose import diagnose
from harness.targets.in_process import InProcessTarget

MANY_VALUES = tuple(case for case in CASES if case.values_per_channel > 1024)
"""They take as long as all other cases together, and few mistakes need them."""
QUICK = tuple(case for case in suite("quick") if case not in MANY_VALUES)
FEW_VALUES = tuple(case for case in CASES if case not in MANY_VALUES)
WITH_OPTIONS = tuple(dict.fromkeys((*suite("quick"), *OPTIONS)))
GROWS_WITH_SIZE = {"fast_variance", "low_precision_stats"}
"""What is told by how large the errors are: of sums, which grow with the number of values."""


def checked(target, seed=0, cases=CASES, diagnosed=True):
    """The report of a target on `cases`."""
    return check_target(InProcessTarget(target), CheckOptions(cases, seed, diagnosed=diagnosed))


def cases_for(mutant):
    """Every case; those of many values only for a mutant that one of them claims, or whose mistake is of rounding.

    For a mistake of an option the quick suite besides the cases of options: without it the layer is right. Likewise for
    what is wrong in derivatives alone.
    """
    if any(case.id == mutant.case for case in OPTIONS):
        return WITH_OPTIONS
    if hasattr(mutant, "train_double"):
        return (*QUICK, *(case for case in DERIVATIVES if case not in QUICK))
    expected = {mutant.expected} if isinstance(mutant.expected, str) else {*mutant.expected}
    if expected & GROWS_WITH_SIZE or any(case.id == mutant.case for case in MANY_VALUES):
        return CASES
    return FEW_VALUES


@lru_cache(4)
def diagnosed(mutant):
    """(its report on the cases for it, the processor seconds that the diagnosis took), for tests that ask in a row."""
    report = checked(mutant, cases=cases_for(mutant), diagnosed=False)
    started = time.process_time()
    report.diagnosis = diagnose(report)
    return report, time.process_time() - started
