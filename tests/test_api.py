"""bnproof from Python: the same records as on the command line, and what is wrong is one sentence."""

import pytest

from harness.api import check, probe
from harness.errors import UsageError
from harness.record.kinds import CheckedTarget
from tests.targets.mutants.moving import MomentumInvertedD2l
from tests.targets.mutants.right import D2l


def test_an_object_is_judged_in_this_process():
    result = check(D2l, cases=["rank2", "rank4"])
    assert isinstance(result, CheckedTarget)
    assert (result.target, result.verdict, result.conventions.source) == ("D2l", "agree", "declared")
    assert result.counts["agree"] == sum(case.verdict == "agree" for case in result.cases) > 0
    wrong = check(MomentumInvertedD2l, cases=["rank4"])
    assert [finding.id for finding in wrong.diagnosis] == ["momentum_inverted"]
    assert check(D2l, cases=["rank2"], conventions="torch").verdict == "differ"


def test_a_layer_of_torch_or_one_in_a_model():
    torch = pytest.importorskip("torch")
    assert check(torch.nn.BatchNorm1d, cases=["rank2"]).verdict == "agree"
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    assert check(model, layer="1", cases=["rank2"]).verdict == "agree"
    with pytest.raises(UsageError, match="has no '7'; it holds 0: Linear, 1: BatchNorm1d"):
        check(model, layer="7", cases=["rank2"])


def test_what_is_inferred():
    assert probe(D2l).nearest == "d2l"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": "slow"}, "unknown suite 'slow': quick or full"),
        ({"cases": ["rank44"]}, "unknown case 'rank44': did you mean 'rank4'?"),
        ({"conventions": "tensorflow"}, "unknown preset 'tensorflow'"),
        ({"through": "compile"}, "an object is played in this process"),
        ({"device": "cuda"}, "an object is played in this process"),
    ],
)
def test_what_is_not_there_is_said(options, message):
    with pytest.raises(UsageError, match=message):
        check(D2l, **options)


def test_a_word_that_is_no_transformation():
    with pytest.raises(UsageError, match="unknown transformation 'sideways'"):
        check("numpy", through="sideways")
