"""The fast form of batch normalization in PyTorch: autograd functions with a closed-form backward.

The layer is bound by memory, not by arithmetic, so each pass over x counts: the forward and the backward of training
(Ioffe and Szegedy 2015, section 3) go over a large x in blocks that stay in a cache, and keep x and two numbers per
channel. "Rows" and "a block" in the shape comments are those of blocks.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impls.pytorch import derivatives
from impls.pytorch.blocks import Rows, room_for, rows_of, within
from impls.pytorch.channels import check, working_dtype
from impls.pytorch.pages import empty_like
from impls.pytorch.scale import inverse_std, variance_slope
from impls.pytorch.vmap import Fold
from reference.conventions import Conventions


def normalize_by_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """Training: (y, batch mean, biased batch variance). The statistics (C,) carry no gradient."""
    check(x, len(gamma), conventions)
    if x.numel() == len(gamma) and conventions.single_value == "error":
        raise ValueError(
            f"batch norm in training needs more than one value per channel, got x of shape {tuple(x.shape)}"
        )
    if is_recorded():
        return derivatives.by_batch_plainly(x, gamma, beta, eps, conventions)
    if not torch._C._are_functorch_transforms_active():
        return NormalizeByBatch.apply(x, gamma, beta, eps, conventions)
    if is_forward_twice():
        return derivatives.by_batch_plainly(x, gamma, beta, eps, conventions)
    return NormalizeManyByBatch.apply(x, gamma, beta, eps, conventions)


def normalize_by_moving(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float, conventions: Conventions
) -> Tensor:
    """Prediction: y, by statistics (C,) that are constants."""
    check(x, len(gamma), conventions)
    if is_recorded():
        return derivatives.by_moving_plainly(x, gamma, beta, mean, var, eps, conventions)
    if not torch._C._are_functorch_transforms_active():
        return NormalizeByMoving.apply(x, gamma, beta, mean, var, eps, conventions)[0]
    if is_forward_twice():
        return derivatives.by_moving_plainly(x, gamma, beta, mean, var, eps, conventions)
    return NormalizeManyByMoving.apply(x, gamma, beta, mean, var, eps, conventions)[0]


def is_recorded() -> bool:
    """Whether the call is compiled, traced or exported, to ONNX as well: what records operations takes no function
    with a `jvp`."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_forward_twice() -> bool:
    """Whether forward mode is taken of forward mode, where PyTorch takes what a `jvp` gives for a constant."""
    levels = [level.key() for level in torch._C._functorch.get_interpreter_stack()]
    return levels.count(torch._C._functorch.TransformType.Jvp) > 1


class NormalizeByBatch(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale functions of x. Backward keeps x, mean and var."""

    @staticmethod
    def forward(ctx, x, gamma, beta, eps, conventions):
        outputs = by_batch(x, gamma, beta, eps, conventions)
        NormalizeByBatch.keep(ctx, (x, gamma, beta, eps, conventions), outputs)
        return outputs

    @staticmethod
    def keep(ctx, inputs, outputs):
        x, gamma, beta, eps, conventions = inputs
        _, mean, var = outputs
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mean, var, gamma)
        ctx.save_for_forward(x, gamma)
        ctx.eps, ctx.conventions = eps, conventions
        ctx.dtypes = (x.dtype, gamma.dtype, beta.dtype)

    @staticmethod
    def backward(ctx, dy, _dmean, _dvar):
        """By blocks for a first derivative; by plain operations where it is differentiated, or transformed."""
        if dy is None:
            return None, None, None, None, None
        x, mean, var, gamma = ctx.saved_tensors
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or x.numel() == 0:
            gradients = derivatives.OfBatch(x, gamma, ctx.eps, ctx.conventions).gradients(dy)  # x's shape, (C,), (C,)
        else:
            gradients = gradients_by_batch(dy, x, gamma, mean, var, ctx.eps, ctx.conventions)  # x's shape, (C,), (C,)
        return *in_dtypes(gradients, ctx.dtypes), None, None

    @staticmethod
    def jvp(ctx, tx, tgamma, tbeta, _teps, _tconventions):
        x, gamma = ctx.saved_tensors
        ty = derivatives.OfBatch(x, gamma, ctx.eps, ctx.conventions).tangents(tx, tgamma, tbeta)  # x's shape
        return ty.to(ctx.dtypes[0]), None, None


class NormalizeManyByBatch(torch.autograd.Function):
    """The same as torch.func wants it, which takes twice as long to call."""

    @staticmethod
    def forward(x, gamma, beta, eps, conventions):
        return by_batch(x, gamma, beta, eps, conventions)

    setup_context = NormalizeByBatch.keep
    backward = NormalizeByBatch.backward
    jvp = NormalizeByBatch.jvp

    @staticmethod
    def vmap(info, in_dims, x, gamma, beta, eps, conventions):
        """Each layer of the batch has its own statistics, as so many more channels have."""
        fold = Fold(info.batch_size, conventions)
        x = fold.values(x, in_dims[0])
        parameters = (fold.parameter(*p) for p in zip((gamma, beta), in_dims[1:3], strict=True))
        y, mean, var = NormalizeManyByBatch.apply(x, *parameters, eps, conventions)
        return (fold.unfolded(y), fold.per_layer(mean), fold.per_layer(var)), (0, 0, 0)


class NormalizeByMoving(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale constants. Backward keeps x, mean and scale."""

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, var, eps, conventions):
        outputs = by_moving(x, gamma, beta, mean, var, eps, conventions)
        NormalizeByMoving.keep(ctx, (x, gamma, beta, mean, var, eps, conventions), outputs)
        return outputs

    @staticmethod
    def keep(ctx, inputs, outputs):
        x, gamma, beta, _, _, _, conventions = inputs
        _, mean, scale = outputs
        ctx.mark_non_differentiable(mean, scale)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mean, scale, gamma)
        ctx.save_for_forward(x, mean, scale, gamma)
        ctx.conventions, ctx.dtypes = conventions, (x.dtype, gamma.dtype, beta.dtype)

    @staticmethod
    def backward(ctx, dy, _dmean, _dscale):
        if dy is None:
            return (None,) * 7
        x, mean, scale, gamma = ctx.saved_tensors
        gradients = derivatives.of_constants(x, mean, scale, gamma, ctx.conventions, dy)  # x's shape, (C,), (C,)
        return *in_dtypes(gradients, ctx.dtypes), None, None, None, None

    @staticmethod
    def jvp(ctx, tx, tgamma, tbeta, _tmean, _tvar, _teps, _tconventions):
        x, mean, scale, gamma = ctx.saved_tensors
        ty = derivatives.along_constants(x, mean, scale, gamma, ctx.conventions, tx, tgamma, tbeta)  # x's shape
        return ty.to(ctx.dtypes[0]), None, None


class NormalizeManyByMoving(torch.autograd.Function):
    """The same as torch.func wants it."""

    @staticmethod
    def forward(x, gamma, beta, mean, var, eps, conventions):
        return by_moving(x, gamma, beta, mean, var, eps, conventions)

    setup_context = NormalizeByMoving.keep
    backward = NormalizeByMoving.backward
    jvp = NormalizeByMoving.jvp

    @staticmethod
    def vmap(info, in_dims, x, gamma, beta, mean, var, eps, conventions):
        fold = Fold(info.batch_size, conventions)
        x = fold.values(x, in_dims[0])
        parameters = (fold.parameter(*p) for p in zip((gamma, beta, mean, var), in_dims[1:5], strict=True))
        y, mean, scale = NormalizeManyByMoving.apply(x, *parameters, eps, conventions)
        return (fold.unfolded(y), fold.per_layer(mean), fold.per_layer(scale)), (0, 0, 0)


def by_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, mean, var): x's shape, (C,), (C,)."""
    work = working_dtype(x, gamma)
    y = empty_like(x)  # x's shape
    if x.numel() == 0:
        mean = x.new_zeros(len(gamma), dtype=work)  # (C,): the mean of no values would be NaN
        return y, mean, mean.clone()
    rows = rows_of(y, conventions)
    x, to, n = rows.of(x), rows.of(y), rows.values  # rows, rows, of a channel
    mean = rows.sum(x, work) / n  # (C,)
    if rows.are_one:
        centered = torch.sub(x, rows.over(mean), out=to if y.dtype is work else None)  # rows
        squares = torch.mul(centered, centered, out=room_for(centered, work))  # rows
        var = rows.sum(squares, work) / n  # (C,)
        factor = gamma * inverse_std(var, eps, conventions)  # (C,)
        # From x - mean, never x * a + b: that difference would cancel where mean is large against std.
        scaled_and_shifted(centered, rows.over(factor), rows.over(beta), out=to)
        return y, mean, var
    blocks, means = rows.blocks(x), rows.over_each(mean)
    room = room_for(blocks[0], work)
    sums = [sum_of_product(rows, part, of_mean, None, room) for part, of_mean in zip(blocks, means, strict=True)]
    var = rows.total(sums) / n  # (C,)
    numbers = map(rows.over_each, (gamma * inverse_std(var, eps, conventions), beta))
    for part, of_y, of_mean, factor, offset in zip(blocks, rows.blocks(to), means, *numbers, strict=True):
        centered = torch.sub(part, of_mean, out=within(room, part))  # a block
        scaled_and_shifted(centered, factor, offset, out=of_y)
    return y, mean, var


def sum_of_product(rows: Rows, part: Tensor, mean: Tensor, by: Tensor | None, room: Tensor | None) -> Tensor:
    """The sum of (x - mean) * by over a block, (C,); of its squares where `by` is None."""
    centered = torch.sub(part, mean, out=within(room, part))  # a block
    return rows.sum(centered.mul_(centered if by is None else by), mean.dtype)


def gradients_by_batch(
    dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, var: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """(dx, dgamma, dbeta): x's shape, (C,), (C,).

    dx = gamma * scale * (dy - dbeta/n - x_hat * slope * dgamma/n), with x_hat = (x - mean) * scale.
    """
    work = mean.dtype
    dx = empty_like(x)  # x's shape
    rows = rows_of(dx, conventions)
    dy, x, to, n = rows.of(dy), rows.of(x), rows.of(dx), rows.values  # rows, rows, rows, of a channel
    dbeta = rows.sum(dy, work)  # (C,)
    scale = inverse_std(var, eps, conventions)  # (C,)
    gain = gamma * scale  # (C,)
    slope = scale * variance_slope(var, scale, conventions.eps_at)  # (C,)
    if rows.are_one:
        centered = torch.sub(x, rows.over(mean), out=to if dx.dtype is work else None)  # rows
        products = torch.mul(dy, centered, out=room_for(centered, work))  # rows
        dgamma = rows.sum(products, work) * scale  # (C,)
        offset, of_centered = gain * (dbeta / -n), gain * slope * (dgamma / -n)  # (C,), (C,)
        scaled_and_shifted(centered, rows.over(of_centered), rows.over(offset), out=centered)
        torch.addcmul(centered, dy, rows.over(gain), out=to)
        return dx, dgamma, dbeta
    blocks, dblocks, means = rows.blocks(x), rows.blocks(dy), rows.over_each(mean)
    room = room_for(blocks[0], work)
    each = zip(blocks, means, dblocks, strict=True)
    dgamma = rows.total([sum_of_product(rows, *of_block, room) for of_block in each]) * scale  # (C,)
    numbers = map(rows.over_each, (mean, gain * slope * (dgamma / -n), gain * (dbeta / -n), gain))
    for part, dpart, of_dx, *of_block in zip(blocks, dblocks, rows.blocks(to), *numbers, strict=True):
        of_mean, of_centered, offset, factor = of_block
        centered = torch.sub(part, of_mean, out=within(room, part))  # a block
        scaled_and_shifted(centered, of_centered, offset, out=centered)
        torch.addcmul(centered, dpart, factor, out=of_dx)
    return dx, dgamma, dbeta


def scaled_and_shifted(centered: Tensor, factor: Tensor, offset: Tensor, *, out: Tensor) -> None:
    """centered * factor + offset into `out`: in one pass where the channels lie side by side.

    Where a run of values shares its factor and offset, PyTorch does one value at a time in one pass, and two by vectors
    are faster. `centered` is overwritten.
    """
    if centered.ndim == 2:
        torch.addcmul(offset, centered, factor, out=out)
    else:
        torch.add(centered.mul_(factor), offset, out=out)


def by_moving(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, mean, scale): x's shape, (C,), (C,)."""
    work = working_dtype(x, gamma)
    mean = mean.to(work, copy=True)  # (C,): the moving statistics may move before backward
    scale = inverse_std(var.to(work), eps, conventions)  # (C,)
    y = empty_like(x)  # x's shape
    if x.numel() == 0:
        return y, mean, scale
    rows = rows_of(y, conventions)
    blocks = rows.blocks(rows.of(x))
    room = room_for(blocks[0], work)
    numbers = map(rows.over_each, (mean, gamma * scale, beta))
    for part, of_y, of_mean, factor, offset in zip(blocks, rows.blocks(rows.of(y)), *numbers, strict=True):
        centered = torch.sub(part, of_mean, out=within(room, part))  # a block
        scaled_and_shifted(centered, factor, offset, out=of_y)
    return y, mean, scale


def in_dtypes(gradients, dtypes):
    """The gradients of x, gamma and beta in the dtypes of these. None is none."""
    return tuple(g if g is None else g.to(dtype) for g, dtype in zip(gradients, dtypes, strict=True))
