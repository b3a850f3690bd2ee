"""The replicated targets that come with the project. By themselves they are played by two replicas."""

from __future__ import annotations

from harness.targets.built_in import BuiltIn

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
}
"""`where` is the layer as one process plays it."""
