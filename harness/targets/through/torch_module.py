"""A torch module through a transformation: the function of its name in torch_calls.py or torch_programs.py."""

from __future__ import annotations

from typing import Any

from harness.targets.through import torch_calls, torch_programs
from harness.targets.through.transformation import Transformation


def members(transformation: Transformation) -> dict[str, Any]:
    """What a subclass of TorchModule has in place of its own."""
    name = transformation.name.replace("-", "_")
    call = getattr(torch_calls, name, None) or getattr(torch_programs, name)
    folded = {"folded": True} if call is torch_programs.fuse else {}
    return {"forward": lambda self, x, training: call(self, x, training), **folded}
