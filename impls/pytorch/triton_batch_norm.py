"""Batch normalization by Triton kernels: autograd functions over `triton_forward.py` and `triton_backward.py`.

Channels first or last in memory, whatever the rank. For backward a call keeps x and two numbers per channel, also
where a sigmoid follows. Small x is read once forward, and x and dy once backward; large ones twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from impls.pytorch import triton_backward, triton_forward
from impls.pytorch.channels import check
from impls.pytorch.fast_batch_norm import normalize_by_batch, normalize_by_moving
from impls.pytorch.triton_launch import INTERPRETED, Prepared, output_like, prepare


def forward(layer: Any, x: Tensor, sigmoid: bool = False) -> Tensor:
    """What `layer`, a BatchNorm, makes of x, in its mode; in training the moving statistics have moved then.

    For x that `triton_choice.suits_kernels`. sigmoid: the sigmoid of that. Raises what the plain operations raise.
    """
    conventions = layer.conventions
    check(x, layer.num_features, conventions)
    prepared = prepare(x, conventions.channel_axis)
    if not prepared.in_order:
        x = x.contiguous()
    if not layer.training:
        moving = layer.moving_statistics()
        return by_moving(x, layer.gamma, layer.beta, moving, layer.eps, conventions, prepared, sigmoid)
    if prepared.layout.values == 1 and conventions.single_value == "error":
        raise ValueError(
            f"batch norm in training needs more than one value per channel, got x of shape {tuple(x.shape)}"
        )
    return by_batch(x, layer.gamma, layer.beta, layer, layer.eps, conventions, prepared, sigmoid)


class NormalizeByBatch(torch.autograd.Function):
    """Training."""

    @staticmethod
    def forward(ctx, x, gamma, beta, layer, eps, conventions, prepared, sigmoid):
        inside = conventions.eps_at == "inside_sqrt"
        y, kept = normalize_by_kernels(x, gamma, beta, layer, inside, prepared, sigmoid)
        ctx.save_for_backward(x, gamma, beta, kept)
        ctx.rest = eps, conventions, prepared, sigmoid
        return y

    @staticmethod
    def backward(ctx, dy):
        x, gamma, beta, kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated in turn
            eps, conventions, _, sigmoid = ctx.rest
            y, _, _ = normalize_by_batch(x, gamma, beta, eps, conventions)
            return (
                *gradients_again(ctx, y.sigmoid() if sigmoid else y, (x, gamma, beta), dy),
                None,
                None,
                None,
                None,
                None,
            )
        return *gradients(ctx, x, gamma, beta, kept, dy), None, None, None, None, None


class NormalizeByMoving(torch.autograd.Function):
    """Prediction: `moving` are (mean, variance), which are constants."""

    @staticmethod
    def forward(ctx, x, gamma, beta, moving, eps, conventions, prepared, sigmoid):
        keep = ctx.needs_input_grad[0] or ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        kept = prepared.kept_like(gamma) if keep else gamma
        y = output_like(x)
        tiling = prepared.plan.applied
        prepared.launch(
            triton_forward.normalize,
            tiling.blocks * tiling.tiles,
            (x, y, gamma, beta, *moving, kept),
            (*prepared.sizes, eps),
            (*prepared.tile_constants(tiling), conventions.eps_at == "inside_sqrt", sigmoid, keep),
            tiling.warps,
        )
        if keep:
            ctx.save_for_backward(x, gamma, beta, kept)
            ctx.rest = eps, conventions, prepared, sigmoid
        return y if y.dtype is x.dtype else y.to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, gamma, beta, kept = ctx.saved_tensors
        eps, conventions, prepared, sigmoid = ctx.rest
        if torch.is_grad_enabled():
            y = normalize_by_moving(x, gamma, beta, kept[0], kept[1], eps, conventions)
            return (
                *gradients_again(ctx, y.sigmoid() if sigmoid else y, (x, gamma, beta), dy),
                None,
                None,
                None,
                None,
                None,
            )
        dy, dx, dgamma, dbeta = gradients_memory(x, gamma, dy)
        collect(prepared, (x, dy, dx, gamma, beta, kept, dgamma, dbeta), ctx.rest, prediction=True)
        return dx.to(x.dtype), dgamma, dbeta, None, None, None, None, None


by_batch = super(torch.autograd.Function, NormalizeByBatch).apply
by_moving = super(torch.autograd.Function, NormalizeByMoving).apply
"""Without what `Function.apply` does for functorch's transformations, which do not come here: 3 microseconds a call."""


def normalize_by_kernels(x, gamma, beta, layer, inside, prepared: Prepared, sigmoid: bool) -> tuple[Tensor, Tensor]:
    """(y, kept); the moving statistics of `layer` have moved."""
    y, kept = output_like(x), prepared.kept_like(gamma)
    buffers = layer._buffers
    moving = (buffers["moving_mean"], buffers["moving_var"], buffers["updates"])
    n, conventions = prepared.layout.values, layer.conventions
    keeps = conventions.momentum == "keep"
    bessel = 1.0 if conventions.moving_var == "biased" else n / (n - 1) if n > 1 else float("nan")
    numbers = (layer.momentum, bessel)
    tiling = prepared.plan.forward
    if tiling is not None:
        arrays = (x, y, gamma, beta, kept, *moving, *prepared.scratch(tiling, gamma))
        constants = (*prepared.constants(tiling), inside, sigmoid, keeps)
        for is_last in meetings(tiling.parts):
            prepared.launch(
                triton_forward.normalize_on_chip,
                tiling.blocks * tiling.parts,
                arrays,
                (*prepared.sizes, tiling.parts, n, layer.eps, *numbers),
                (*constants, is_last, not INTERPRETED),
                tiling.warps,
            )
    else:
        tiling = prepared.plan.collected
        prepared.launch(
            triton_forward.collect_statistics,
            tiling.blocks * tiling.parts,
            (x, kept, *moving, *prepared.scratch(tiling, gamma)),
            (*prepared.sizes, tiling.parts, n, *numbers),
            (*prepared.constants(tiling), prepared.plan.lanes, keeps, True),
            tiling.warps,
        )
        tiling = prepared.plan.applied
        prepared.launch(
            triton_forward.normalize,
            tiling.blocks * tiling.tiles,
            (x, y, gamma, beta, *kept, kept),
            (*prepared.sizes, layer.eps),
            (*prepared.tile_constants(tiling), inside, sigmoid, False),
            tiling.warps,
        )
    increment_version(moving)
    return y if y.dtype is x.dtype else y.to(x.dtype), kept


def gradients(ctx, x, gamma, beta, kept, dy) -> tuple[Tensor, Tensor, Tensor]:
    """(dx, dgamma, dbeta) in training."""
    eps, conventions, prepared, sigmoid = ctx.rest
    inside = conventions.eps_at == "inside_sqrt"
    dy, dx, dgamma, dbeta = gradients_memory(x, gamma, dy)
    arrays = (x, dy, dx, gamma, beta, kept, dgamma, dbeta)
    n, tiling = prepared.layout.values, prepared.plan.backward
    if tiling is not None:
        shared = prepared.scratch(tiling, gamma)
        for _ in meetings(tiling.parts):
            prepared.launch(
                triton_backward.gradients_on_chip,
                tiling.blocks * tiling.parts,
                (*arrays, *shared),
                (*prepared.sizes, tiling.parts, n, eps),
                (*prepared.constants(tiling), inside, sigmoid, not INTERPRETED),
                tiling.warps,
            )
    else:
        collect(prepared, arrays, ctx.rest, prediction=False)
        tiling = prepared.plan.applied
        prepared.launch(
            triton_backward.input_gradient,
            tiling.blocks * tiling.tiles,
            arrays,
            (*prepared.sizes, n, eps),
            (*prepared.tile_constants(tiling), inside, sigmoid),
            tiling.warps,
        )
    return dx if dx.dtype is x.dtype else dx.to(x.dtype), dgamma, dbeta


def gradients_memory(x: Tensor, gamma: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(dy as x lies, and where dx, dgamma and dbeta are written)."""
    if dy.stride() != x.stride():
        dy = torch.empty_like(x, dtype=dy.dtype).copy_(dy)
    return dy, output_like(x), torch.empty_like(gamma), torch.empty_like(gamma)


def collect(prepared: Prepared, arrays: tuple[Tensor, ...], rest: tuple, *, prediction: bool) -> None:
    """dgamma and dbeta; in prediction dx as well."""
    eps, conventions, _, sigmoid = rest
    tiling = prepared.plan.collected
    prepared.launch(
        triton_backward.collect_gradients,
        tiling.blocks * tiling.parts,
        (*arrays, *prepared.scratch(tiling, arrays[3])),
        (*prepared.sizes, tiling.parts, eps),
        (*prepared.constants(tiling), prepared.plan.lanes, conventions.eps_at == "inside_sqrt", sigmoid, prediction),
        tiling.warps,
    )


def meetings(parts: int) -> tuple[bool, ...]:
    """Launches of a kernel whose programs meet: False for those before the last.

    The interpreter plays one program after the other, so that they cannot wait: they put down their parts in a first
    launch and find those of all others in a second.
    """
    return (False, True) if INTERPRETED and parts > 1 else (True,)


def gradients_again(ctx, y: Tensor, inputs: tuple[Tensor, Tensor, Tensor], dy: Tensor) -> list[Tensor | None]:
    """The gradients of y by `inputs` as plain operations, which autograd differentiates."""
    wanted = [tensor for tensor, needed in zip(inputs, ctx.needs_input_grad, strict=False) if needed]
    found = iter(torch.autograd.grad(y, wanted, dy, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[: len(inputs)]]
