"""A torch module through a transformation: the function of its name in one of seven modules."""

from __future__ import annotations

from harness.targets.results import Members
from harness.targets.through import (
    torch_calls,
    torch_folds,
    torch_litert,
    torch_orders,
    torch_own_folds,
    torch_programs,
    torch_quantization,
    torch_sharded,
)
from harness.targets.through.transformation import Transformation


def members(transformation: Transformation) -> Members:
    """What a subclass of TorchModule has in place of its own."""
    if transformation.name in torch_orders.ORDERS:
        return torch_orders.members(transformation.name)
    name = transformation.name.replace("-", "_")
    rooms = (torch_calls, torch_sharded, torch_programs, torch_quantization, torch_folds, torch_own_folds, torch_litert)
    room = next(module for module in rooms if hasattr(module, name))
    call = getattr(room, name)
    is_fold = room in (torch_folds, torch_own_folds) or name.startswith("fuse_")
    bounds = {"folded": True} if is_fold else {"rescaled": True} if room is torch_quantization else {}
    return {"forward": lambda self, x, training: call(self, x, training), **bounds}
