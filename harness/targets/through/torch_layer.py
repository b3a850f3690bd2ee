"""What the transformations of torch modules share: the plain call, the layer's state, another batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.targets.wrap import common
from harness.targets.wrap.torch_module import TorchModule


def plain(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """The call as it is without a transformation."""
    return TorchModule.forward(adapter, x, training)


def plain_call(layer: nn.Module, x: Tensor, training: bool) -> Any:
    layer.train(training)
    return layer(x, **common.mode_argument(layer.forward, training))


def another(x: Tensor) -> Tensor:
    """Another batch of x's shape, finite and not constant: nothing of it may show in what is judged."""
    values = torch.linspace(3.0, 5.0, max(x.numel(), 1), dtype=torch.float64)[: x.numel()]
    return values.reshape(x.shape).to(dtype=x.dtype, device=x.device)


def mode(adapter: TorchModule, training: bool) -> dict[str, bool]:
    return common.mode_argument(adapter.layer.forward, training)


def state_of(layer: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers themselves, by name."""
    return {**dict(layer.named_parameters()), **dict(layer.named_buffers())}


def unmoved(adapter: TorchModule, before: dict[str, Tensor], what: str) -> None:
    """Raises RuntimeError if the state is not what it was: no capture may count as a training step."""
    for name, tensor in state_of(adapter.layer).items():
        if not torch.equal(torch.nan_to_num(tensor), torch.nan_to_num(before[name])):
            raise RuntimeError(f"{what} has changed {name}")


def keep(adapter: TorchModule, buffers: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, buffer in adapter.layer.named_buffers():
            buffer.copy_(buffers[name].detach())


def first_line(error: BaseException) -> str:
    """The first line of an error that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]
