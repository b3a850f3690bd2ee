"""Each mistake that replicas make, beside what it says of itself: by layers of the shards alone."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from harness.diagnose.mistakes import replicas as module
from harness.diagnose.mistakes.replicas import OwnStatisticsLost, of_replicas
from harness.judge.oracle import OracleLayer
from harness.targets.replicas.names import Replicas
from tests.small_evidence import D2L, TORCH, case

MADE = case("r", shape=(6, 3), script=("train", "train", "eval", "train_no_grad"))
SCRIPT = MADE.make("float64", 0, 0.9)


def layer_of(mistake, replicas=None, conventions=D2L):
    """The mistake as it is always tried, by two replicas, or as these replicas make it."""
    made = mistake
    if replicas is not None:
        (made,) = (layer for _, layer in of_replicas(replicas) if layer.__mro__[1] is mistake)
    return made.from_setup(SCRIPT.setups[0], conventions)


def steps_of(layer, count=1, script=SCRIPT):
    return [layer.play(step) for step in script.steps[:count]][-1]


def right(conventions=D2L, count=1):
    return steps_of(OracleLayer.from_setup(SCRIPT.setups[0], conventions), count)


def of_shards(*sizes, count=1):
    """What layers give that have a shard each, and know of no other."""
    layers = [OracleLayer.from_setup(SCRIPT.setups[0], D2L) for _ in sizes]
    edges = np.cumsum([0, *sizes])
    for step in SCRIPT.steps[:count]:
        shards = [replace(step, x=step.x[a:b], dy=step.dy[a:b]) for a, b in pairwise(edges)]
        given = [layer.play(shard) for layer, shard in zip(layers, shards, strict=True)]
    return given


def test_what_can_go_wrong_between_how_many():
    assert of_replicas(Replicas(1)) == []
    of_three = of_replicas(Replicas(3, "uneven"))
    assert {identity for identity, _ in of_three} == {
        "stats_per_shard", "gradient_per_shard", "gradient_scaled", "bessel_wrong"}  # fmt: skip
    assert all(layer.__name__.endswith("3Uneven") for _, layer in of_three)
    assert {tuple(layer.split(6)) for _, layer in of_three} == {(0, 1, 3, 6)}
    edges = {layer.__mro__[1].__name__: layer.split(4) for _, layer in of_replicas(Replicas(3, "empty"))}
    assert edges["OwnStatistics"] == edges["UnweightedWithEmpty"] == [0, 2, 2, 4]
    assert edges["ReducedTwice"] == edges["BesselByShard"] == [0, 2, 4]


@pytest.mark.parametrize(("mistake", "by_shard"), [("GradientPerShard", True), ("GradientSumPerShard", False)])
def test_a_gradient_by_the_sums_of_a_shard(mistake, by_shard):
    got, want = steps_of(layer_of(getattr(module, mistake))), right()
    step = SCRIPT.steps[0]
    std = np.sqrt(step.x.var(axis=0) + MADE.eps)
    x_hat = (step.x - step.x.mean(axis=0)) / std
    parts = []
    for rows in (slice(0, 3), slice(3, 6)):
        dy, hat, n = step.dy[rows], x_hat[rows], 3 if by_shard else 6
        parts.append((dy - dy.sum(axis=0) / n - hat * (dy * hat).sum(axis=0) / n) * SCRIPT.setups[0].gamma / std)
    assert got["dx"].astype(float) == pytest.approx(np.concatenate(parts))
    for name in ("y", "dgamma", "dbeta", "moving_var"):
        assert np.array_equal(got[name], want[name]), name


@pytest.mark.parametrize(
    ("mistake", "in_dx", "in_parameters"),
    [("ReducedTwice", True, False), ("ParametersReducedTwice", False, True), ("AllReducedTwice", True, True)],
)
@pytest.mark.parametrize("count", [2, 3])
def test_sums_that_are_added_up_twice(mistake, in_dx, in_parameters, count):
    got, want = steps_of(layer_of(getattr(module, mistake), Replicas(count))), right()
    factor = count if in_parameters else 1
    for name in ("dgamma", "dbeta"):
        assert got[name].astype(float) == pytest.approx((factor * want[name]).astype(float))
    setup, step = SCRIPT.setups[0], SCRIPT.steps[0]
    direct = setup.gamma / np.sqrt(step.x.var(axis=0) + MADE.eps) * step.dy
    through = want["dx"].astype(float) - direct
    assert got["dx"].astype(float) == pytest.approx(direct + through * (count if in_dx else 1))


def test_bessels_factor_of_the_first_shard():
    got = steps_of(layer_of(module.BesselByShard, conventions=TORCH))["moving_var"].astype(float)
    setup, x = SCRIPT.setups[0], SCRIPT.steps[0].x
    weight = setup.momentum
    assert got == pytest.approx((1 - weight) * setup.moving_var + weight * x.var(axis=0) * 3 / 2)
    alone = steps_of(layer_of(module.BesselByShard, Replicas(6), TORCH))["moving_var"]
    assert np.isnan(alone.astype(float)).all()
    declared_biased = steps_of(layer_of(module.BesselByShard))["moving_var"]
    assert np.array_equal(declared_biased, right()["moving_var"])


def joined(parts, name):
    return np.concatenate([part[name] for part in parts]).astype(float)


def test_replicas_that_share_nothing():
    for count in (1, 3):
        got, apart = steps_of(layer_of(module.OwnStatistics), count), of_shards(3, 3, count=count)
        for name in ("y", "dx"):
            assert got[name].astype(float) == pytest.approx(joined(apart, name)), (count, name)
        for name in ("dgamma", "dbeta"):
            assert got[name].astype(float) == pytest.approx(sum(part[name] for part in apart).astype(float))
        assert got["moving_mean"].astype(float) == pytest.approx(apart[0]["moving_mean"].astype(float))
    without_gradients = steps_of(layer_of(module.OwnStatistics), 4)
    assert set(without_gradients) == {"y", "moving_mean", "moving_var"}


def test_replicas_that_start_each_step_from_the_first():
    got = steps_of(layer_of(module.DataParallel), 3)
    first, second = of_shards(3, 3, count=3)
    assert got["y"][:3].astype(float) == pytest.approx(first["y"].astype(float))
    assert np.abs(got["y"][3:] - second["y"]).max() > 1e-3  # by the first replica's averages
    setup, step = SCRIPT.setups[0], SCRIPT.steps[2]
    mean, var = (first[name].astype(float) for name in ("moving_mean", "moving_var"))
    assert got["y"].astype(float) == pytest.approx(
        setup.gamma * (step.x - mean) / np.sqrt(var + MADE.eps) + setup.beta)  # fmt: skip


def test_a_replica_without_samples():
    """Of six samples each of seven replicas but the last has one."""
    layer = layer_of(module.OwnStatistics, Replicas(7))
    assert layer.split_with_empty(6)[-1] == (6, 6)
    assert np.isfinite(steps_of(layer)["dgamma"].astype(float)).all()
    lost = layer_of(OwnStatisticsLost, Replicas(7))
    first, later = steps_of(lost), lost.play(SCRIPT.steps[2])
    assert np.isnan(first["dgamma"].astype(float)).all()
    assert np.isnan(later["dgamma"].astype(float)).all()
    assert np.isfinite(first["y"].astype(float)).all()
