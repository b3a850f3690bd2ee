"""Our synchronized layer in PyTorch: how shards are merged, and what one rank alone does."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from impls.pytorch import replicated_training, training
from impls.pytorch.batch_norm import BatchNorm
from impls.pytorch.sync_batch_norm import COUNT_BASE, SyncBatchNorm, gathered, merged, shard_statistics
from reference.conventions import D2L, PRESETS, TrainingSettings
from reference.lenet import initial_weights


@pytest.fixture(scope="module")
def _one_rank(tmp_path_factory):
    if dist.is_initialized():  # by a layer that was played through DistributedDataParallel in this process
        yield
        return
    rendezvous = tmp_path_factory.mktemp("group") / "rendezvous"
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def statistics_of(shards):
    parts = [shard_statistics(shard, [0], shard.dtype) for shard in shards]
    counts, means, deviations = zip(*parts, strict=True)
    return torch.tensor(counts, dtype=torch.float64), torch.stack(means), torch.stack(deviations)


@pytest.mark.parametrize("sizes", [(7,), (3, 4), (1, 1, 5), (0, 7), (3, 0, 4, 0, 0), (1,) * 7, (0, 0, 0)])
def test_shards_are_merged_into_the_statistics_of_all(sizes):
    rng = np.random.default_rng(0)
    shards = [torch.tensor(rng.normal(100.0 * rank, 1.0 + rank, (size, 5))) for rank, size in enumerate(sizes)]
    n, mean, deviations = merged(*statistics_of(shards))
    values = torch.cat(shards)
    assert n == len(values)
    if len(values):
        torch.testing.assert_close(mean, values.mean(0), rtol=1e-14, atol=0)
        torch.testing.assert_close(deviations / n, values.var(0, correction=0), rtol=1e-13, atol=1e-13)
    else:
        assert not mean.any()
        assert not deviations.any()


def test_a_shard_of_no_values_does_not_change_a_bit():
    values = torch.tensor(np.random.default_rng(1).normal(1e30, 1.0, (6, 3)), dtype=torch.float32)
    alone = merged(*statistics_of([values]))
    beside = merged(*statistics_of([values[:0], values, values[:0]]))
    assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))


def test_counts_that_float32_cannot_hold_travel_exactly():
    n = 2**24 * COUNT_BASE - 1
    counts, _, _ = gathered(n, torch.zeros(2), torch.zeros(2), None)
    assert counts.tolist() == [n]


@pytest.mark.usefixtures("_one_rank")
@pytest.mark.parametrize("preset", ["d2l", "torch", "flax"])
def test_one_rank_does_what_the_plain_layer_does(preset):
    conventions = PRESETS[preset]
    plain, synchronized = BatchNorm(3, conventions=conventions), SyncBatchNorm(3, conventions=conventions)
    x = torch.randn(4, 3, 5, 3, dtype=torch.float32)
    for _ in range(2):
        results = []
        for layer in (plain, synchronized):
            leaf = x.clone().requires_grad_()
            y = layer(leaf)
            y.backward(torch.sin(x))
            results.append([y, leaf.grad, layer.gamma.grad, layer.beta.grad, layer.moving_mean, layer.moving_var])
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("_one_rank")
def test_one_value_in_all_shards_together_is_refused_where_that_is_declared():
    layer = SyncBatchNorm(3, conventions=PRESETS["torch"])
    with pytest.raises(ValueError, match="more than one value"):
        layer(torch.ones(1, 3))
    assert torch.equal(SyncBatchNorm(3, conventions=D2L)(torch.ones(1, 3)), torch.zeros(1, 3))


@pytest.mark.usefixtures("_one_rank")
def test_an_empty_batch_moves_nothing():
    layer = SyncBatchNorm(3)
    assert layer(torch.ones(0, 3, 2)).shape == (0, 3, 2)
    assert layer.updates == 0


@pytest.mark.usefixtures("_one_rank")
def test_data_parallel_training_by_one_rank_is_the_training_of_one_device():
    images, labels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8), np.arange(20) % 10
    data = SimpleNamespace(train_images=images, train_labels=labels, test_images=images[:9], test_labels=labels[:9])
    orders, settings = np.arange(20).reshape(1, 20), TrainingSettings(dtype="float64", batch_size=12)
    alone = training.train(data, initial_weights(0), orders, settings)
    parallel = replicated_training.train(data, initial_weights(0), orders, settings)
    assert parallel["history"][0]["loss"] == pytest.approx(alone["history"][0]["loss"], rel=1e-12)
    assert parallel["history"][0]["test_accuracy"] == alone["history"][0]["test_accuracy"]
    for name, weight in alone["weights"].items():
        np.testing.assert_allclose(parallel["weights"][name], weight, rtol=1e-9, atol=1e-12)
