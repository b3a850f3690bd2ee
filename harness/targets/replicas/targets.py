"""The replicated targets that come with the project. By themselves they are played by two replicas."""

from __future__ import annotations

from harness.targets.built_in import BUILT_IN
from harness.targets.built_in_kind import BuiltIn
from harness.targets.replicas.names import Replicas, split_replicas

REPLICATED: dict[str, BuiltIn] = {
    "torch-sync": BuiltIn(
        "impls.pytorch.sync_batch_norm:SyncBatchNorm",
        "torch",
        "our synchronized nn.Module in several processes",
        "pip install torch",
    ),
    "torch-native-sync": BuiltIn(
        "impls.third_party.torch_replicas:SyncBatchNorm",
        "torch",
        "torch.nn.SyncBatchNorm in several processes; it refuses a CPU",
        "pip install torch",
    ),
    "torch-ddp": BuiltIn(
        "impls.third_party.torch_replicas:data_parallel",
        "torch",
        "torch.nn.BatchNorm in DistributedDataParallel: statistics of each shard",
        "pip install torch",
    ),
    "jax-sync": BuiltIn(
        "harness.targets.replicas.jax_replicas:OurSync",
        "jax flax",
        "our synchronized function over a mesh of devices",
        "pip install jax flax optax",
    ),
    "flax-sync": BuiltIn(
        "harness.targets.replicas.jax_replicas:FlaxSync",
        "flax",
        "flax.nnx.BatchNorm with axis_name over a mesh of devices; uneven shards by mask",
        "pip install flax jax",
    ),
    "flax-sync-two-passes": BuiltIn(
        "harness.targets.replicas.jax_replicas:FlaxSyncTwoPasses",
        "flax",
        "the same with use_fast_variance=False",
        "pip install flax jax",
    ),
    "flax-shard-map": BuiltIn(
        "harness.targets.replicas.jax_replicas:FlaxLocal",
        "flax",
        "flax.nnx.BatchNorm in a shard_map, without axis_name: statistics of each shard",
        "pip install flax jax",
    ),
    "keras-sync": BuiltIn(
        "harness.targets.replicas.keras_replicas:KerasSync",
        "keras tensorflow",
        "keras.layers.BatchNormalization with synchronized=True in a MirroredStrategy",
        "pip install keras tensorflow",
    ),
}
"""`where` is the layer as one process plays it."""


TARGETS = BUILT_IN | REPLICATED
"""All targets that come with the project."""


def replicas_of(name: str) -> Replicas | None:
    """By how many replicas the target of that name, without its device, is played; None where it is no such target."""
    target, replicas = split_replicas(name)
    return replicas or (Replicas() if target in REPLICATED else None)
