"""Our synchronized layer in JAX, its devices simulated by vmap: shards of a batch give what one layer gives for all."""

import jax
import jax.numpy as jnp
import numpy as np

from impls.jax_flax.batch_norm import batch_norm
from impls.jax_flax.replicated_training import shard_of
from impls.jax_flax.sync_batch_norm import SyncBatchNorm, merged, normalize_by_shards
from reference.conventions import D2L, PRESETS

SIZES = (2, 0, 3, 1)


def test_shards_are_merged_into_the_statistics_of_all():
    rng = np.random.default_rng(0)
    shards = [rng.normal(100.0 * rank, 1.0 + rank, (size, 5)) for rank, size in enumerate((3, 0, 4, 1, 0, 2))]
    means = [shard.mean(0) if len(shard) else np.zeros(5) for shard in shards]
    sums = [((shard - mean) ** 2).sum(0) for shard, mean in zip(shards, means, strict=True)]
    with jax.enable_x64(True):
        counts = np.array([float(len(shard)) for shard in shards])
        n, mean, deviations = map(np.asarray, jax.jit(merged)(counts, np.stack(means), np.stack(sums)))
    values = np.concatenate(shards)
    assert n == len(values)
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-14)
    np.testing.assert_allclose(deviations / n, values.var(0), rtol=1e-13)


def of_whole_batch(x, dy, gamma, beta):
    def forward(x, gamma, beta):
        return batch_norm(x, gamma, beta, jnp.zeros(5), jnp.zeros(5), 1e-5, 0.0, training=True)

    (y, mean, var), backward = jax.vjp(forward, x, gamma, beta)
    return y, *backward((dy, jnp.zeros(5), jnp.zeros(5))), mean, var


def test_uneven_shards_give_what_one_layer_gives_for_the_whole_batch():
    rng = np.random.default_rng(1)
    x = rng.normal(rng.normal(0, 5, (len(SIZES), 1, 1)), 1.0, (len(SIZES), max(SIZES), 5))  # a mean for each shard
    dy, gamma, beta = rng.normal(size=x.shape), rng.uniform(0.5, 2, (1, 5)), rng.normal(size=(1, 5))
    some = np.arange(max(SIZES)) < np.array(SIZES)[:, None]  # (R, N)

    def of_device(x, dy, examples):
        def forward(x, gamma, beta):
            return normalize_by_shards(x, gamma, beta, 1e-5, examples, (0,), D2L, "data")

        (y, mean, var, n), backward = jax.vjp(forward, x, gamma, beta)
        return (y, *backward((dy, *map(jnp.zeros_like, (mean, var, n)))), mean, var)

    with jax.enable_x64(True):
        of_devices = jax.jit(jax.vmap(of_device, axis_name="data"))(x, dy, np.array(SIZES))
        of_all = jax.jit(of_whole_batch)(x[some], dy[some], gamma[0], beta[0])
        y, dx, dgamma, dbeta, mean, var = map(np.asarray, of_devices)
        *expected, whole_mean, whole_var = map(np.asarray, of_all)
    for ours, theirs in zip((y[some], dx[some], dgamma.sum(0)[0], dbeta.sum(0)[0]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
    assert not y[~some].any()
    assert not dx[~some].any()
    for of_each, of_whole in ((mean, whole_mean), (var, whole_var)):
        assert len({statistic.tobytes() for statistic in of_each}) == 1
        np.testing.assert_allclose(of_each[0, 0], of_whole, rtol=1e-13)


def test_the_module_on_one_device_moves_as_the_plain_one():
    conventions = PRESETS["torch"]
    x = np.random.default_rng(2).normal(size=(4, 3, 2)).astype(np.float32)
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("data")

    def of_device(x):
        layer = SyncBatchNorm(3, conventions=conventions)
        y = layer(x)
        return y, layer.moving_mean[...][None], layer.moving_var[...][None]

    y, mean, var = jax.jit(jax.shard_map(of_device, mesh=mesh, in_specs=spec, out_specs=spec))(x)
    plain = batch_norm(
        x, jnp.ones(3), jnp.zeros(3), jnp.zeros(3), jnp.ones(3), 1e-5, conventions.default_momentum,
        training=True, conventions=conventions,
    )  # fmt: skip
    for ours, theirs in zip((y, mean[0], var[0]), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_shards_of_a_training_hold_each_example_of_a_batch_once():
    for batch_size, replicas in ((8, 4), (8, 3), (2, 3), (7, 1)):
        shards = [shard_of(rank, replicas, batch_size) for rank in range(replicas)]
        assert len({len(places) for places, _ in shards}) == 1
        counted = np.concatenate([np.asarray(places)[: int(examples)] for places, examples in shards])
        assert counted.tolist() == list(range(batch_size))
