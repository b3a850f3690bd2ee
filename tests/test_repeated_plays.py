"""Plays in turn by the process of a target itself: it stops at the first that is not what it was."""

import io
import json

import numpy as np
import pytest

from harness.again import MANY_TIMES, ROUNDS
from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.prepare import prepare
from harness.targets.isolate import IsolatedTarget
from harness.targets.player import Death
from harness.targets.wire.arrays import WireError
from harness.targets.wire.reading import repeated_from
from harness.targets.wire.request import play_body, repeat_line
from harness.targets.worker import _Worker
from reference.conventions import D2L
from reference.under_test import NumpyBatchNorm

SCRIPTS = [prepare(BY_ID[name], "float32", 0, D2L).script for name in ("rank2", "rank3")]
CASES = tuple(BY_ID[name] for name in MANY_TIMES)
PLAYS = len(CASES) * ROUNDS
LAYER = """
import numpy as np
from reference.under_test import NumpyBatchNorm


class WrongOnce(NumpyBatchNorm):
    dtypes = ("float32",)
    built = 0

    def __init__(self, setup):
        super().__init__(setup)
        type(self).built += 1

    def eval(self, x, dy):
        results = super().eval(x, dy)
        return results | {"dgamma": results["dgamma"] + 1} if self.built == %s else results


class OtherwiseOnce(WrongOnce):
    def eval(self, x, dy):
        results = NumpyBatchNorm.eval(self, x, dy)
        return results | {"y": np.nextafter(results["y"], np.float32(9))} if self.built == %s else results


class Ends(WrongOnce):
    def eval(self, x, dy):
        if self.built == %s:
            raise SystemExit(3)
        return super().eval(x, dy)
"""


class Shifted(NumpyBatchNorm):
    """Other numbers in the plays that `wrong_plays` counts."""

    built = 0
    wrong_plays = ()

    def __init__(self, setup):
        super().__init__(setup)
        type(self).built += 1
        self.shift = float(self.built in self.wrong_plays)

    def train(self, x, dy):
        results = super().train(x, dy)
        return results | {"y": results["y"] + np.float32(self.shift)}


def repeated(plays, seconds=60.0, wrong_plays=()):
    target, answers = type("Target", (Shifted,), {"wrong_plays": wrong_plays, "built": 0}), io.BytesIO()
    request = json.loads(repeat_line(7, [play_body(script, 1) for script in SCRIPTS], plays, seconds))
    _Worker(target, "cpu", answers).answer(request)
    answer = json.loads(answers.getvalue())
    assert answer["seq"] == 7
    return repeated_from(answer, SCRIPTS), target.built


def test_plays_that_are_alike_are_given_once():
    result, built = repeated(20)
    assert (result.plays, built) == (20, 20)
    assert [number for number, _ in result.given] == [0, 1]


def test_it_stops_at_the_first_that_differs():
    result, built = repeated(20, wrong_plays=(8,))
    assert (result.plays, built) == (8, 8)
    assert [number for number, _ in result.given] == [0, 1, 1]
    _, right, wrong = (observation for _, observation in result.given)
    assert not wrong.same_as(right)


def test_it_stops_when_its_time_is_over():
    result, built = repeated(20, seconds=0.0)
    assert (result.plays, built, len(result.given)) == (1, 1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"plays": 0, "given": [[0, {"unsupported": "no"}]]},
        {"plays": "9", "given": [[0, {"unsupported": "no"}]]},
        {"plays": 1, "given": []},
        {"plays": 1, "given": [[2, {"steps": []}]]},
        {"plays": 1, "given": [[0, []]]},
        {"plays": 9, "given": [[0, {"unsupported": "no"}]] * 4},
    ],
)
def test_an_answer_of_another_form_is_refused(answer):
    with pytest.raises(WireError):
        repeated_from(answer, SCRIPTS)


@pytest.mark.parametrize("name", ["WrongOnce", "Ends"])
def test_what_is_wrong_in_the_last_of_many_plays_is_found(tmp_path, name):
    before = len(CASES) * 2  # each is played twice at first
    (tmp_path / "layer.py").write_text(LAYER % ((before + PLAYS,) * 3))
    with IsolatedTarget(f"{tmp_path}/layer.py:{name}") as player:
        player.describe()
        assert player.repeats
        requests = []
        answer = player.play_in_turn
        player.play_in_turn = lambda *given: requests.append(given) or answer(*given)
        report = check_target(player, CheckOptions(CASES, again=True))
    assert len(requests) == 1
    if name == "Ends":
        assert report.verdict == "crashed"
        assert isinstance(player.last_death, Death)
    else:
        assert [finding.id for finding in report.diagnosis] == ["not_deterministic"]


def test_after_a_play_that_is_right_in_other_digits_the_rest_is_played(tmp_path):
    """It ends what the process repeats by itself, and is judged; no play is made twice."""
    until = 10
    (tmp_path / "layer.py").write_text(LAYER % ((len(CASES) * 2 + until,) * 3))
    with IsolatedTarget(f"{tmp_path}/layer.py:OtherwiseOnce") as player:
        player.describe()
        asked = []
        answer = player.play_in_turn
        player.play_in_turn = lambda *given: asked.append(given[2]) or answer(*given)
        report = check_target(player, CheckOptions(CASES, again=True))
    assert asked == [PLAYS, PLAYS - until]
    assert report.verdict == "agree"
