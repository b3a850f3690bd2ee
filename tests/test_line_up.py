"""What is ruled out in one go would be ruled out one by one: no explanation is lost by it, and little is left."""

import pytest

from harness.diagnose import line_up
from harness.diagnose.evidence import Evidence
from harness.diagnose.line_up import not_ruled_out
from harness.diagnose.suspects import single_suspects
from tests.in_process import QUICK, checked
from tests.targets.mutants import PAIRS, SINGLE

PLAIN = [case for case in QUICK if case.policy != "all" and not case.trains_on_single_values]
BY_NAME = {mutant.__name__: mutant for mutant in (*SINGLE, *PAIRS)}


def evidence_of(name):
    report = checked(BY_NAME[name], cases=PLAIN, diagnosed=False)
    return Evidence(report.played, report.conventions)


@pytest.mark.parametrize("name", ["EpsOutside", "UpdatedInEval", "DxWithoutMean", "StdTracked", "GammaAndUpdatedTwice"])
def test_nothing_that_is_ruled_out_explains(name):
    evidence = evidence_of(name)
    suspects = single_suspects(evidence.conventions)
    left = not_ruled_out(suspects, evidence)
    assert 0 < len(left) < len(suspects) / 4
    assert [suspect for suspect in suspects if suspect not in left and evidence.explained_by(suspect)] == []


def test_steps_that_were_lined_up_for_another_target_are_taken_first():
    evidence = evidence_of("StdTracked")
    shown = [(case, line_up.step_that_shows_it(case)) for case in evidence.shortest_first]
    shown = [(case, step) for case, step in shown if step is not None][: line_up.SHOWN]
    line_up.line_up.cache_clear()
    line_up._LINED_UP.clear()
    ((first, _),) = line_up.steps_that_tell(evidence)
    assert first.script is shown[0][0].script
    suspects = single_suspects(evidence.conventions)
    left = not_ruled_out(suspects, evidence)
    assert [script for script, _ in line_up._LINED_UP] == [first.script]
    line_up._LINED_UP.clear()
    line_up._LINED_UP.extend((case.script, step) for case, step in shown[-2:])
    assert [played.script for played, _ in line_up.steps_that_tell(evidence)] == [case.script for case, _ in shown[-2:]]
    by_others = not_ruled_out(suspects, evidence)
    explaining = [suspect for suspect in suspects if evidence.explained_by(suspect)]
    assert explaining
    assert all(suspect in left and suspect in by_others for suspect in explaining)


def test_what_raises_or_gives_less_is_left_to_be_compared_one_by_one():
    evidence = evidence_of("DxWithoutMean")
    compared = next(case for case in evidence.failing if line_up.is_small(case.script))
    step = line_up.step_that_shows_it(compared)

    class Raises(line_up.OracleLayer):
        def play(self, step):
            raise ValueError(step)

    assert line_up.layers_ruled_out(compared, step, (Raises,), evidence.conventions) == set()


def test_a_step_after_one_that_raised_is_not_compared():
    evidence = evidence_of("DxWithoutMean")
    compared = next(case for case in evidence.failing if line_up.step_that_shows_it(case) is not None)
    compared.observation.steps[0].error = "RuntimeError"
    assert line_up.step_that_shows_it(compared) is None
