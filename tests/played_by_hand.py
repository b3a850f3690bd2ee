"""Played cases that are written out by hand, for tests of what is made of them."""

from dataclasses import replace

import numpy as np

from harness.cases.case import Case
from harness.cases.script import Script, Step
from harness.judge.expected import Expected
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.report import PlayedCase
from harness.targets.player import Failure, Observation, StepResult

X = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0]])
BOUND = 2.0**-10
CASE = Case("by_hand", "why", shape=X.shape, script=("train",))
RAISES = Failure("ValueError", "no")


def played(*steps, case=CASE, dtype="float32", wrong=(), x=X):
    """steps: (op, {observable: (got, expected)}), or op alone, or (op, RAISES); wrong: numbers of steps that differ.

    Every bound is BOUND.
    """
    made, results, expected = [], [], []
    for step in steps:
        op, given = (step, {}) if isinstance(step, str) else step
        session, op = op.count("'"), op.rstrip("'")
        made.append(Step(op, None, None, session) if op.startswith("restore") else Step(op, x, x, session))
        if given is RAISES:
            results.append(StepResult(op, session, error=RAISES))
            given = {}
        else:
            results.append(StepResult(op, session, {name: np.asarray(got) for name, (got, _) in given.items()}))
        wanted = {name: np.asarray(want, np.float64) for name, (_, want) in given.items()}
        expected.append(Expected(wanted, {name: np.full(want.shape, BOUND) for name, want in wanted.items()}))
    sessions = 1 + max(step.session for step in made)
    setups = replace(case, script=("train", "train'")).make(dtype, 0, 0.9).setups[:sessions]
    judgements = [failed(case.id, dtype, step=number, op=made[number].op) for number in wrong]
    return PlayedCase(case, dtype, Script(setups, tuple(made)), expected, Observation(results), judgements)


def failed(case="by_hand", dtype="float32", observable="y", step=0, op="train", **more):
    given = {"kind": Kind.law, "verdict": Verdict.differ, "reason": Reason.beyond_bound} | more
    return Judgement(case, dtype, step, op, observable, **given)


def off_by(amount, start=X):
    """(got, expected) of an array that is off by so much everywhere."""
    return start + amount, start


def times(factor, start=X):
    return factor * start, start
