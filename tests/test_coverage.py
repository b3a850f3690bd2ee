"""A verdict says what was not judged, and a training that gives nothing is no plain agreement."""

import pytest

from harness.cases.catalogue import suite
from harness.cli.output import AGREED, NOTHING_JUDGED
from harness.cli.verdicts import exit_status
from harness.judge.coverage import not_judged
from harness.record.checked import target_as_dict
from reference.under_test import NumpyBatchNorm
from tests.in_process import checked


class TrainsInSilence(NumpyBatchNorm):
    def train(self, x, dy):
        super().train(x, dy)

    stats = None


class DoesNotTrain(NumpyBatchNorm):
    def train(self, x, dy):
        raise NotImplementedError("prediction only")

    train_no_grad = None
    stats = None


class GivesNoDx(NumpyBatchNorm):
    def train(self, x, dy):
        return super().train(x, dy) | {"dx": None}


@pytest.mark.parametrize(
    ("target", "words", "status"),
    [
        (NumpyBatchNorm, "", AGREED),
        (TrainsInSilence, "judged in prediction only: train gave nothing; not given: moving_mean, moving_var",
         NOTHING_JUDGED),
        (DoesNotTrain, "judged in prediction only; not given: moving_mean, moving_var", AGREED),
        (GivesNoDx, "not given: dx", AGREED),
    ],
)  # fmt: skip
def test_what_was_not_judged_is_said(target, words, status):
    report = checked(target, cases=suite("quick")[:2])
    assert (report.verdict, not_judged(report)) == ("agree", words)
    assert target_as_dict(report)["not_judged"] == words
    assert exit_status([report]) == status
