"""Layers of JAX over the devices of a mesh, behind the contract: one process, a shard of every batch on each device.

The devices are the host's, as XLA divides it. shard_map gives each as many examples: uneven shards are padded with
zeros, and the layer is told how many examples count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from harness.targets.replicas.names import Replicas, join_replicas
from harness.targets.replicas.over import NotReplicableError
from harness.targets.replicas.shards import dealt
from harness.targets.results import Keywords, Results
from impls.jax_flax.batch_norm import batch_norm
from impls.jax_flax.sync_batch_norm import sync_batch_norm
from reference.conventions import PRESETS

DEVICES = 8
"""Made of the host, which can be done only before JAX looks for devices."""
AXIS = "data"
ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")
jax.config.update("jax_num_cpu_devices", DEVICES)
jax.config.update("jax_enable_x64", True)


class JaxReplicas:
    """A layer over R devices. A subclass says by `call` what a device computes, and may read its shard's count."""

    adapter = "a JAX layer over a mesh of devices"
    conventions: Any = "d2l"
    dtypes = ALL_DTYPES
    replicas = Replicas()

    @classmethod
    def over_replicas(cls, replicas: Replicas) -> type:
        if replicas.count > DEVICES:
            raise NotReplicableError(f"at most {DEVICES} devices are made of this machine")
        return type(join_replicas(cls.__name__, replicas), (cls,), {"replicas": replicas})

    @staticmethod
    def call(x, gamma, beta, mean, var, examples, eps, momentum, training):
        """(y, moving mean, moving variance) of a device. examples: (), how many of x's first ones count."""
        raise NotImplementedError

    def __init__(self, setup: Any) -> None:
        self.settings = (setup.eps, setup.momentum)
        self.gamma, self.beta = jnp.asarray(setup.gamma), jnp.asarray(setup.beta)
        self.statistics = [np.stack([value] * self.replicas.count) for value in (setup.moving_mean, setup.moving_var)]

    def train(self, x: np.ndarray, dy: np.ndarray) -> Results:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> Results:
        return self._step(x, dy, False)

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> Results:
        shards = dealt(x, self.replicas.count, self.replicas.shards)
        counts = np.array([len(shard) for shard in shards])
        step = compiled(self.call, self.replicas.count, training, *self.settings)
        y, dx, dgamma, dbeta, *self.statistics = step(
            padded(shards), padded(dealt(dy, self.replicas.count, self.replicas.shards)), counts,
            self.gamma, self.beta, *self.statistics,
        )  # fmt: skip
        return {"y": unpadded(y, counts), "dx": unpadded(dx, counts), "dgamma": dgamma, "dbeta": dbeta}

    def stats(self) -> dict[str, np.ndarray]:
        return self.replica_stats()[0]

    def replica_stats(self) -> list[dict[str, np.ndarray]]:
        means, variances = map(np.asarray, self.statistics)
        return [{"moving_mean": mean, "moving_var": var} for mean, var in zip(means, variances, strict=True)]

    def state(self) -> Any:
        return self.gamma, self.beta, self.statistics

    def load_state(self, state: Any) -> None:
        self.gamma, self.beta, self.statistics = state


def padded(shards: list[np.ndarray]) -> np.ndarray:
    """Shards of up to m examples -> (R * m, ...), zeros after each; m is at least 1."""
    longest = max(1, *(len(shard) for shard in shards))
    fill = [np.zeros((longest - len(shard), *shard.shape[1:]), shard.dtype) for shard in shards]
    return np.concatenate([part for pair in zip(shards, fill, strict=True) for part in pair])


def unpadded(x: jax.Array, counts: np.ndarray) -> np.ndarray:
    parts = np.split(np.asarray(x), len(counts))
    return np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)])


def mesh_of(count: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:count]), (AXIS,))


@cache
def compiled(call: Callable[..., Any], count: int, training: bool, eps: float | None, momentum: float | None) -> Any:
    """A step of all devices, each of which makes `call`: (y, dx, dgamma and dbeta added up, the statistics of each)."""
    sharded, same = PartitionSpec(AXIS), PartitionSpec()

    def of_device(x, dy, examples, gamma, beta, mean, var):
        def objective(x, gamma, beta):
            y, new_mean, new_var = call(x, gamma, beta, mean[0], var[0], examples[0], eps, momentum, training)
            return (y * dy).sum(), (y, new_mean, new_var)

        gradients, (y, new_mean, new_var) = jax.grad(objective, argnums=(0, 1, 2), has_aux=True)(x, gamma, beta)
        return y, *gradients, new_mean[None], new_var[None]

    return jax.jit(
        jax.shard_map(
            of_device,
            mesh=mesh_of(count),
            in_specs=(sharded, sharded, sharded, same, same, sharded, sharded),
            out_specs=(sharded, sharded, same, same, sharded, sharded),
        )
    )


class OurSync(JaxReplicas):
    """Ours. The numbers that a layer is not given are its conventions' defaults."""

    @staticmethod
    def call(x, gamma, beta, mean, var, examples, eps, momentum, training):
        conventions = PRESETS["d2l"]
        eps = conventions.default_eps if eps is None else eps
        momentum = conventions.default_momentum if momentum is None else momentum
        if not training:
            return batch_norm(x, gamma, beta, mean, var, eps, momentum, training=False)
        return sync_batch_norm(x, gamma, beta, mean, var, eps, momentum, axis_name=AXIS, examples=examples)


class FlaxSync(JaxReplicas):
    """flax.nnx.BatchNorm with axis_name; where shards are uneven, padding is masked."""

    conventions = "flax"
    layer_options: Keywords = {"axis_name": AXIS}  # noqa: RUF012

    @classmethod
    def call(cls, x, gamma, beta, mean, var, examples, eps, momentum, training):
        given = {name: value for name, value in (("epsilon", eps), ("momentum", momentum)) if value is not None}
        layer: Any = nnx.BatchNorm(
            len(gamma), use_running_average=not training, dtype=x.dtype, param_dtype=gamma.dtype, rngs=nnx.Rngs(0),
            **given, **cls.layer_options,
        )  # fmt: skip
        for variable, value in ((layer.scale, gamma), (layer.bias, beta), (layer.mean, mean), (layer.var, var)):
            variable.set_value(value)  # in its own dtype: assigning to variable[...] would round to float32
        y = layer(x, mask=(jnp.arange(len(x)) < examples).reshape(-1, *[1] * (x.ndim - 1)))
        return y, layer.mean[...], layer.var[...]


class FlaxSyncTwoPasses(FlaxSync):
    """The same without E[x^2] - E[x]^2."""

    layer_options: Keywords = {"axis_name": AXIS, "use_fast_variance": False}  # noqa: RUF012


class FlaxLocal(FlaxSync):
    """flax.nnx.BatchNorm in a shard_map, without axis_name: statistics of each shard."""

    layer_options: Keywords = {"use_fast_variance": False}  # noqa: RUF012
