"""A target that gives other results when it is played again: the warm-up is the first of two plays."""

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.targets.in_process import InProcessTarget
from harness.targets.play_twice import WarmedUp, play_twice
from reference.under_test import NumpyBatchNorm

CASES = (BY_ID["rank2"], BY_ID["rank4"])


class Warmed(InProcessTarget):
    """Plays as a target's own process does: a warm-up before the first call of each shape."""

    def __init__(self, factory):
        super().__init__(factory)
        self.warmed_up = WarmedUp()

    def play(self, script, channel_axis):
        return play_twice(lambda _: super(Warmed, self).play(script, channel_axis), script, self.warmed_up)


class Noisy(NumpyBatchNorm):
    rng = np.random.default_rng(0)

    def train(self, x, dy):
        results = super().train(x, dy)
        last_digit = np.where(
            self.rng.random(x.shape) < 0.5, results["dx"], np.nextafter(results["dx"], x.dtype.type(0))
        )
        return results | {"dx": last_digit}


class Counted(NumpyBatchNorm):
    built = 0

    def __init__(self, setup):
        super().__init__(setup)
        type(self).built += 1


class FirstCallWrong(Counted):
    built = 0

    def train(self, x, dy):
        results = super().train(x, dy)
        return results | {"dbeta": results["dbeta"] * 2} if self.built == 1 else results


class FirstCallRaises(Counted):
    built = 0

    def train(self, x, dy):
        if self.built == 1:
            raise RuntimeError("not ready")
        return super().train(x, dy)


def notes_of(factory):
    report = check_target(Warmed(factory), CheckOptions(CASES))
    assert report.verdict == "agree"
    return [note.text for note in report.notes if note.id == "not_deterministic"]


def test_the_same_results_need_no_note():
    assert notes_of(NumpyBatchNorm) == []


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (Noisy, "give different results: dx by up to"),
        (FirstCallWrong, "only the first call is wrong: dbeta in train of rank2, float64"),
        (FirstCallRaises, "only the first call is wrong: RuntimeError: not ready in train of rank2, float64"),
    ],
)
def test_a_difference_is_noted(factory, words):
    (text,) = notes_of(factory)
    assert words in text
