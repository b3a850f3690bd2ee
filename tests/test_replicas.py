"""Layers over several replicas: right ones agree, and each way to synchronize wrongly is flagged and named."""

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.cli.replicas import Dealt, over_replicas
from harness.diagnose.mistakes.replicas import OwnStatisticsLost, of_replicas
from harness.errors import UsageError
from harness.judge.oracle import OracleLayer
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError, load
from harness.targets.replicas.names import Replicas, join_replicas, split_replicas
from harness.targets.replicas.shards import SHARDS, dealt, ends
from tests.in_process import checked
from tests.targets.mutants import REPLICATED, expected_ids
from tests.targets.mutants import replicas as simulated
from tests.targets.mutants.right import D2l, Torch

CASES = tuple(BY_ID[name] for name in ("rank4", "odd_batch", "large_mean_1e4"))
"""Four samples, seven, and a large mean."""


@pytest.mark.parametrize("mutant", REPLICATED, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_flagged_and_named(mutant):
    report = checked(mutant, cases=CASES)
    assert mutant.case in {judgement.case for judgement in report.judgements if judgement.counts_against}
    assert {finding.id for finding in report.diagnosis} == expected_ids(mutant)


@pytest.mark.parametrize("style", [D2l, Torch])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_replicas_that_merge_rightly_agree(style, count):
    right = type(f"Right over {count} replicas", (simulated.Replicas, style), {"count": count})
    report = checked(right, cases=CASES)
    assert report.verdict == "agree"
    assert report.diagnosis == []


def test_a_name_says_by_how_many_replicas_it_is_played():
    for replicas in (Replicas(4), Replicas(3, "uneven"), Replicas(1)):
        assert split_replicas(join_replicas("torch-sync", replicas)) == ("torch-sync", replicas)
    assert split_replicas("my.py:Norm") == ("my.py:Norm", None)
    with pytest.raises(UsageError, match="not 0"):
        split_replicas("torch-sync over 0 replicas")


def test_options_become_part_of_the_name():
    assert over_replicas(("torch-sync", "my.py:Norm@cuda"), 3, "uneven") == (
        "torch-sync over 3 uneven replicas",
        "my.py:Norm over 3 uneven replicas@cuda",
    )
    assert over_replicas(("torch-sync",), 0, "even") == ("torch-sync",)
    with pytest.raises(UsageError, match="says itself"):
        over_replicas(("torch-sync over 2 replicas",), 3, "even")
    assert [dealt_out.value for dealt_out in Dealt] == list(SHARDS)


def test_what_no_replicas_can_play_says_so():
    with pytest.raises(TargetError, match="no layer of torch"):
        load("numpy over 2 replicas")
    with pytest.raises(TargetError, match="unknown target"):
        load("nothing over 2 replicas")


@pytest.mark.parametrize(("shards", "expected"), [("even", [3, 5, 7]), ("uneven", [1, 4, 7]), ("empty", [4, 4, 7])])
def test_a_batch_is_dealt_out_in_order(shards, expected):
    assert ends(7, 3, shards) == expected
    x = np.arange(14.0).reshape(7, 2)
    assert np.array_equal(np.concatenate(dealt(x, 3, shards)), x)


def test_replicas_apart_may_lose_what_they_have_by_an_empty_shard():
    (layer,) = (layer for _, layer in of_replicas(Replicas(2)) if issubclass(layer, OwnStatisticsLost))
    x = np.random.default_rng(0).normal(size=(1, 2, 6))
    replicas, alone = layer(2), OracleLayer(2)
    results, expected = replicas.train_step(x, x), alone.train_step(x, x)
    assert np.array_equal(results["y"], expected["y"])
    assert np.isnan(results["dgamma"]).all()
    assert np.array_equal(replicas.moving_var, alone.moving_var)
    assert np.isnan(replicas.eval_step(np.tile(x, (2, 1, 1)), np.tile(x, (2, 1, 1)))["y"][1]).all()


def test_two_processes_agree_with_one_layer_on_the_whole_batch():
    with IsolatedTarget("torch-sync over 2 uneven replicas") as player:
        report = check_target(player, CheckOptions(CASES[:2], diagnosed=False))
    assert report.verdict == "agree", report.load_error
    assert len(report.played) == 4
