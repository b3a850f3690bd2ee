"""A torch module through a transformation: the function of its name in one of four modules."""

from __future__ import annotations

from typing import Any

from harness.targets.through import torch_calls, torch_folds, torch_own_folds, torch_programs
from harness.targets.through.transformation import Transformation


def members(transformation: Transformation) -> dict[str, Any]:
    """What a subclass of TorchModule has in place of its own."""
    name = transformation.name.replace("-", "_")
    rooms = (torch_calls, torch_programs, torch_folds, torch_own_folds)
    room = next(module for module in rooms if hasattr(module, name))
    call = getattr(room, name)
    folded = {"folded": True} if room in (torch_folds, torch_own_folds) else {}
    return {"forward": lambda self, x, training: call(self, x, training), **folded}
