"""Batch normalization by Triton kernels: autograd functions over `triton_forward.py` and `triton_backward.py`.

Channels first or last in memory, whatever the rank. For backward a call keeps x and two numbers per channel. Where a
channel's values fit on the chip, x is read once forward, and x and dy once backward; elsewhere twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impls.pytorch import triton_backward, triton_forward
from impls.pytorch.channels import check
from impls.pytorch.fast_batch_norm import normalize_by_batch, normalize_by_moving
from impls.pytorch.triton_launch import INTERPRETED, Prepared, output_like, prepare


def forward(layer: Any, x: Tensor) -> Tensor:
    """What `layer`, a BatchNorm, makes of x, in its mode; in training the moving statistics have moved then.

    For x that `triton_choice.suits_kernels`. Raises what the plain operations raise.
    """
    check(x, layer.num_features, layer.conventions)
    prepared = prepare(x, layer.conventions.channel_axis)
    if not prepared.in_order:
        x = x.contiguous()
    if not layer.training:
        mean, var = layer.moving_statistics()
        return NormalizeByMoving.apply(x, layer.gamma, layer.beta, mean, var, layer.eps, layer.conventions, prepared)
    n = prepared.layout.values
    if n == 1 and layer.conventions.single_value == "error":
        raise ValueError(
            f"batch norm in training needs more than one value per channel, got x of shape {tuple(x.shape)}"
        )
    bessel = 1.0
    if layer.conventions.moving_var == "unbiased":
        bessel = n / (n - 1) if n > 1 else float("nan")
    moving = Moving(layer, bessel)
    return NormalizeByBatch.apply(x, layer.gamma, layer.beta, moving, layer.eps, layer.conventions, prepared)


class Moving:
    """The moving statistics of a layer, which a kernel moves, and how."""

    __slots__ = ("arrays", "keeps", "numbers")

    def __init__(self, layer: Any, bessel: float) -> None:
        self.arrays = (layer.moving_mean, layer.moving_var, layer.updates)
        self.numbers = (layer.momentum, bessel)
        self.keeps = layer.conventions.momentum == "keep"
        """momentum is the weight of the old value."""


class NormalizeByBatch(torch.autograd.Function):
    """Training."""

    @staticmethod
    def forward(ctx, x, gamma, beta, moving, eps, conventions, prepared):
        y, mean, var = normalize_by_kernels(x, gamma, beta, moving, eps, conventions.eps_at == "inside_sqrt", prepared)
        torch.autograd.graph.increment_version(moving.arrays)
        ctx.save_for_backward(x, gamma, beta, mean, var)
        ctx.eps, ctx.conventions, ctx.prepared = eps, conventions, prepared
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, gamma, beta, mean, var = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated in turn
            y, _, _ = normalize_by_batch(x, gamma, beta, ctx.eps, ctx.conventions)
            return *gradients_again(ctx, y, (x, gamma, beta), dy), None, None, None, None
        dx, dgamma, dbeta = gradients(ctx, x, gamma, mean, var, dy, prediction=False)
        return dx.to(x.dtype), dgamma, dbeta, None, None, None, None


class NormalizeByMoving(torch.autograd.Function):
    """Prediction: mean and var are constants."""

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, var, eps, conventions, prepared):
        keep = any(ctx.needs_input_grad)
        kept = (torch.empty_like(mean), torch.empty_like(var)) if keep else (mean, var)
        y = output_like(x)
        layout, tiling = prepared.layout, prepared.plan.streamed
        prepared.launch(
            triton_forward.normalize,
            tiling.blocks * tiling.tiles,
            (x, y, gamma, beta, mean, var, *kept),
            (layout.rows, layout.channels, layout.inner, eps),
            (*prepared.tile_constants(tiling), prepared.wide, conventions.eps_at == "inside_sqrt", keep),
            tiling.warps,
        )
        if keep:
            ctx.save_for_backward(x, gamma, beta, *kept)
            ctx.eps, ctx.conventions, ctx.prepared = eps, conventions, prepared
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, gamma, beta, mean, var = ctx.saved_tensors
        if torch.is_grad_enabled():
            y = normalize_by_moving(x, gamma, beta, mean, var, ctx.eps, ctx.conventions)
            return *gradients_again(ctx, y, (x, gamma, beta), dy), None, None, None, None, None
        dx, dgamma, dbeta = gradients(ctx, x, gamma, mean, var, dy, prediction=True)
        return dx.to(x.dtype), dgamma, dbeta, None, None, None, None, None


def normalize_by_kernels(x, gamma, beta, moving, eps, inside, prepared: Prepared) -> tuple[Tensor, Tensor, Tensor]:
    """(y, mean, var); the moving statistics have moved."""
    y, mean, var = output_like(x), torch.empty_like(gamma), torch.empty_like(gamma)
    layout, tiling = prepared.layout, prepared.plan.on_chip
    sizes = (layout.rows, layout.channels, layout.inner)
    if tiling is not None:
        scratch = prepared.scratch(tiling.parts, tiling.blocks, gamma)
        constants = (*prepared.tile_constants(tiling), tiling.most_parts, prepared.wide)
        for is_last in meetings(tiling.parts):
            prepared.launch(
                triton_forward.normalize_on_chip,
                tiling.blocks * tiling.parts,
                (x, y, gamma, beta, mean, var, *moving.arrays, *scratch),
                (*sizes, tiling.parts, layout.values, eps, *moving.numbers),
                (*constants, inside, moving.keeps, is_last, not INTERPRETED),
                tiling.warps,
            )
        return y, mean, var
    tiling = prepared.plan.streamed
    constants = (*prepared.tile_constants(tiling), tiling.most_parts, prepared.wide)
    prepared.launch(
        triton_forward.collect_statistics,
        tiling.blocks * tiling.parts,
        (x, mean, var, *moving.arrays, *prepared.scratch(tiling.parts, tiling.blocks, gamma)),
        (*sizes, tiling.parts, layout.values, *moving.numbers),
        (*constants, moving.keeps, True),
        tiling.warps,
    )
    prepared.launch(
        triton_forward.normalize,
        tiling.blocks * tiling.tiles,
        (x, y, gamma, beta, mean, var, mean, var),
        (*sizes, eps),
        (*prepared.tile_constants(tiling), prepared.wide, inside, False),
        tiling.warps,
    )
    return y, mean, var


def gradients(ctx, x, gamma, mean, var, dy, *, prediction: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(dx, dgamma, dbeta) by kernels."""
    prepared: Prepared = ctx.prepared
    inside = ctx.conventions.eps_at == "inside_sqrt"
    if dy.stride() != x.stride():
        dy = torch.empty_like(x, dtype=dy.dtype).copy_(dy)
    dx, dgamma, dbeta = output_like(x), torch.empty_like(gamma), torch.empty_like(gamma)
    layout, tiling = prepared.layout, prepared.plan.on_chip
    sizes = (layout.rows, layout.channels, layout.inner)
    arrays = (x, dy, dx, gamma, mean, var, dgamma, dbeta)
    if tiling is not None and not prediction:
        scratch = prepared.scratch(tiling.parts, tiling.blocks, gamma)
        for _ in meetings(tiling.parts):
            prepared.launch(
                triton_backward.gradients_on_chip,
                tiling.blocks * tiling.parts,
                (*arrays, *scratch),
                (*sizes, tiling.parts, layout.values, ctx.eps),
                (*prepared.tile_constants(tiling), tiling.most_parts, prepared.wide, inside, not INTERPRETED),
                tiling.warps,
            )
        return dx, dgamma, dbeta
    tiling = prepared.plan.streamed
    constants = (*prepared.tile_constants(tiling), tiling.most_parts, prepared.wide, inside)
    prepared.launch(
        triton_backward.collect_gradients,
        tiling.blocks * tiling.parts,
        (*arrays, *prepared.scratch(tiling.parts, tiling.blocks, gamma)),
        (*sizes, tiling.parts, ctx.eps),
        (*constants, prediction),
        tiling.warps,
    )
    if not prediction:
        prepared.launch(
            triton_backward.input_gradient,
            tiling.blocks * tiling.tiles,
            arrays,
            (*sizes, layout.values, ctx.eps),
            (*prepared.tile_constants(tiling), prepared.wide, inside),
            tiling.warps,
        )
    return dx, dgamma, dbeta


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
