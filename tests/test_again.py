"""What a target gives by chance: plays are repeated, and what is wrong now and then is called so."""

import pytest

from harness.again import MANY_TIMES, ROUNDS
from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.targets.in_process import InProcessTarget
from harness.targets.player import Death, DeathCause
from reference.under_test import NumpyBatchNorm

CASES = (BY_ID["rank2"], BY_ID["rank4"], *(BY_ID[name] for name in MANY_TIMES))
PLAYS = len(MANY_TIMES) * ROUNDS


class Counted(NumpyBatchNorm):
    """Counts the layers that are built: one a play."""

    dtypes = ("float32",)
    built = 0
    wrong_plays = ()

    def __init__(self, setup):
        super().__init__(setup)
        type(self).built += 1
        self.is_wrong = self.built in self.wrong_plays

    def eval(self, x, dy):
        results = super().eval(x, dy)
        return results | {"dgamma": results["dgamma"] + self.built} if self.is_wrong else results


def checked(again=True, cases=CASES, base=Counted, **names):
    target = type("Target", (base,), {"built": 0} | names)
    return check_target(InProcessTarget(target), CheckOptions(cases, again=again)), target.built


def test_what_is_right_when_it_is_played_again_is_no_unknown_mistake():
    report, built = checked(wrong_plays=(2,))
    assert report.verdict == "differ"
    (finding,) = report.diagnosis
    assert (finding.id, finding.cases) == ("not_deterministic", ("rank4",))
    assert finding.text.endswith("dgamma in eval of rank4, float32")
    assert built == len(CASES) + 1


def test_what_is_wrong_twice_in_other_ways_may_still_be_chance():
    report, _ = checked(wrong_plays=(2, 4))
    assert [finding.id for finding in report.diagnosis] == ["not_deterministic"]


@pytest.mark.parametrize("play", [len(CASES) + 1, len(CASES) + PLAYS])
def test_what_is_right_is_played_many_times(play):
    report, _ = checked(wrong_plays=(play,))
    assert report.verdict == "differ"
    assert [finding.id for finding in report.diagnosis] == ["not_deterministic"]
    assert {played.case.id for played in report.played} == {case.id for case in CASES}
    assert checked(again=False, wrong_plays=(play,))[0].verdict == "agree"


def test_a_mistake_is_named_as_ever_and_played_again_three_times():
    class BetaIgnored(Counted):
        def __init__(self, setup):
            super().__init__(setup)
            self.layer.beta *= 0

    report, built = checked(base=BetaIgnored)
    assert [finding.id for finding in report.diagnosis] == ["beta_ignored"]
    assert built == len(CASES) + 3


def test_a_mistake_beside_chance_is_named_as_well():
    class BetaIgnoredAndChance(Counted):
        def __init__(self, setup):
            super().__init__(setup)
            if setup.ndim == 2:
                self.layer.beta *= 0

    report, _ = checked(base=BetaIgnoredAndChance, wrong_plays=(2,))
    assert [finding.id for finding in report.diagnosis] == ["not_deterministic", "beta_ignored"]


def test_one_that_is_always_right_is_played_many_times_and_agrees():
    report, built = checked()
    assert (report.verdict, report.diagnosis, built) == ("agree", [], len(CASES) + PLAYS)


def test_a_death_when_it_is_played_again_is_a_judgement():
    class Dies(InProcessTarget):
        plays = 0

        def play(self, script, channel_axis):
            self.plays += 1
            dies = self.plays == len(CASES) + 2
            return Death(DeathCause.crashed, "it ended") if dies else super().play(script, channel_axis)

    report = check_target(Dies(Counted), CheckOptions(CASES, again=True))
    assert report.verdict == "crashed"
    assert [j.message for j in report.judgements if j.counts_against] == ["it ended, when it was played again"]
