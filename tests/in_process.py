"""Targets played and judged in this process: what `check` does, without one process a target."""

from functools import cache

import numpy as np

from harness.cases.catalogue import CASES
from harness.check import Played, TargetReport
from harness.diagnose.diagnose import diagnose
from harness.judge.oracle import NoOracleError, expect
from harness.judge.verdict import judge
from harness.targets.play import play
from reference.conventions import conventions_from


@cache
def owed(case_id, dtype, seed, conventions):
    """(case, script, what the oracle expects of it), or None where this machine has no oracle."""
    case = next(case for case in CASES if case.id == case_id)
    script = case.make(dtype, seed, conventions.momentum_for(case.new_weight))
    try:
        return case, script, expect(script, conventions)
    except NoOracleError:
        return None


def checked(target, seed=0, cases=CASES, diagnosed=True):
    """The report of a target on `cases`."""
    report = TargetReport(target.__name__, conventions_from(target.conventions))
    dtypes, ranks = getattr(target, "dtypes", ("float64", "float32")), getattr(target, "ranks", (2, 3, 4, 5))
    for case in cases:
        for dtype in case.dtypes:
            if dtype not in dtypes or case.ndim not in ranks:
                continue
            prepared = owed(case.id, dtype, seed, report.conventions)
            if prepared is None:
                continue
            _, script, expected = prepared
            with np.errstate(all="ignore"):
                seen = play(target, script, report.conventions.channel_axis)
            judgements = judge(case, script, expected, seen)
            report.judgements += judgements
            report.played.append(Played(case, dtype, script, expected, seen, judgements))
    if diagnosed:
        report.diagnosis = diagnose(report)
    return report
