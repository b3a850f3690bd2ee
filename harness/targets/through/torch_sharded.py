"""A torch module under FSDP (`fully_shard`) with one process, called as those of torch_calls.py.

A copy is sharded for each call: its parameters become DTensors, whose gradients come into being as its own backward
ends. What it has moved, and these gradients, are brought back to the layer.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from harness.targets.through.torch_calls import start_one_process
from harness.targets.through.torch_layer import keep, mode
from harness.targets.wrap.torch_module import TorchModule


def fsdp(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """FullyShardedDataParallel of one process: gathered before the call, freed after it, its gradients reduced."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    start_one_process()
    adapter.layer.train(training)
    sharded = copy.deepcopy(adapter.layer)
    fully_shard(sharded, mesh=init_device_mesh(x.device.type, (1,)))
    own = dict(adapter.layer.named_parameters())
    y = _Sharded.apply(sharded, mode(adapter, training), x, [*own], *own.values())
    keep(adapter, dict(sharded.named_buffers()))
    return y


class _Sharded(torch.autograd.Function):
    """(the sharded module, its mode, x, the names of the layer's parameters, these) -> y."""

    @staticmethod
    def forward(ctx: Any, sharded: nn.Module, given: dict[str, bool], x: Tensor, names: list[str], *_: Tensor) -> Any:
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.y = sharded(ctx.x, **given)
        ctx.sharded, ctx.names = sharded, names
        return ctx.y.detach()

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        """A parameter that gets no gradient would not be trained: it is given 0."""
        ctx.y.backward(dy)
        parameters = dict(ctx.sharded.named_parameters())
        gradients: list[Any] = [parameters[name].grad for name in ctx.names]
        whole = [
            torch.zeros_like(parameters[name].full_tensor()) if gradient is None else gradient.full_tensor()
            for name, gradient in zip(ctx.names, gradients, strict=True)
        ]
        return None, None, ctx.x.grad, None, *whole
