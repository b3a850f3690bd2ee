"""The fast form of batch normalization in PyTorch: autograd functions with a closed-form backward.

The layer is bound by memory, not by arithmetic, so each pass over x counts: the forward and the backward of training
(Ioffe and Szegedy 2015, section 3) read and write arrays of x's size as few times as plain PyTorch operations allow.

Whatever the rank of x, the statistics have a shape that broadcasts against it, (1, C, 1, ...) or (1, ..., C), which
is written (C*) in the shape comments.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impls.pytorch import derivatives
from impls.pytorch.channels import Lanes, check, lanes_of, other_axes, per_channel_shape, working_dtype
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
        return NormalizeByBatch.apply(x, gamma, beta, eps, conventions)[:3]
    if is_forward_twice():
        return derivatives.by_batch_plainly(x, gamma, beta, eps, conventions)
    return NormalizeManyByBatch.apply(x, gamma, beta, eps, conventions)[:3]


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
    """y = gamma * (x - mean) * scale + beta, with mean and scale functions of x.

    Beside y and (mean, var) it gives `centered`, x - mean, and scale. A second derivative reaches x by way of centered,
    which is saved for the first one as it is: to save x as well would keep twice the memory.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, eps, conventions):
        outputs = by_batch(x, gamma, beta, eps, conventions)
        NormalizeByBatch.keep(ctx, (x, gamma, beta, eps, conventions), outputs)
        return outputs

    @staticmethod
    def keep(ctx, inputs, outputs):
        x, gamma, beta, eps, conventions = inputs
        _, mean, var, centered, scale = outputs
        ctx.mark_non_differentiable(mean, var, scale)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(centered, var, scale, gamma)
        ctx.save_for_forward(centered, var, scale, gamma)
        ctx.eps, ctx.conventions, ctx.axes = eps, conventions, other_axes(x, conventions)
        ctx.dtypes = (x.dtype, gamma.dtype, beta.dtype)

    @staticmethod
    def backward(ctx, dy, _dmean, _dvar, dcentered, _dscale):
        """In place for a first derivative; by plain operations where it is differentiated, or comes of that."""
        centered, var, scale, gamma = ctx.saved_tensors
        if torch.is_grad_enabled() or dcentered is not None:
            of_batch = derivatives.OfBatch(centered, gamma, ctx.eps, ctx.conventions, ctx.axes)
            gradients = of_batch.gradients(dy, dcentered)  # x's shape, (C,), (C,)
            return *in_dtypes(gradients, ctx.dtypes), None, None
        if dy is None:
            return None, None, None, None, None
        shape = scale.shape
        n = max(1, centered.numel() // scale.numel())
        lanes = lanes_of(centered, ctx.conventions)
        rows, dy = lanes.rows(centered), lanes.rows(dy)  # x's shape, or joined
        dbeta = lanes.sum(dy, centered.dtype, shape)  # (C*)
        dx = dy * rows  # x's shape, or joined; its memory is dx's, for now it holds the products
        dgamma = lanes.sum(dx, centered.dtype, shape) * scale  # (C*)
        slope = variance_slope(var.view(shape), scale, ctx.conventions.eps_at)  # (C*) or 1
        # dx = gamma * scale * (dy - dbeta/n - x_hat * slope * dgamma/n), with x_hat = centered * scale
        gain = gamma.view(shape) * scale  # (C*)
        scaled_and_shifted(dy, gain, gain * (dbeta / -n), lanes, out=dx)
        dx.addcmul_(rows, lanes.over(gain * (scale * slope) * (dgamma / -n)))
        dx = lanes.back(dx, centered)  # x's shape
        return *in_dtypes((dx, dgamma.reshape(-1), dbeta.reshape(-1)), ctx.dtypes), None, None

    @staticmethod
    def jvp(ctx, tx, tgamma, tbeta, _teps, _tconventions):
        centered, _, _, gamma = ctx.saved_tensors
        of_batch = derivatives.OfBatch(centered, gamma, ctx.eps, ctx.conventions, ctx.axes)
        ty, tcentered = of_batch.tangents(tx, tgamma, tbeta)  # x's shape, x's shape
        return ty.to(ctx.dtypes[0]), None, None, tcentered, None


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
        y, mean, var, centered, scale = NormalizeManyByBatch.apply(x, *parameters, eps, conventions)
        unfolded = (fold.unfolded(y), fold.per_layer(mean), fold.per_layer(var))
        return (*unfolded, fold.unfolded(centered), fold.unfolded(scale)), (0, 0, 0, 0, 0)


class NormalizeByMoving(torch.autograd.Function):
    """y = gamma * (x - mean) * scale + beta, with mean and scale constants. Beside y it gives (x - mean, scale)."""

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, var, eps, conventions):
        outputs = by_moving(x, gamma, beta, mean, var, eps, conventions)
        NormalizeByMoving.keep(ctx, (x, gamma, beta, mean, var, eps, conventions), outputs)
        return outputs

    @staticmethod
    def keep(ctx, inputs, outputs):
        x, gamma, beta, _, _, _, conventions = inputs
        _, centered, scale = outputs
        ctx.mark_non_differentiable(scale)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(centered, scale, gamma)
        ctx.save_for_forward(centered, scale, gamma)
        ctx.axes, ctx.dtypes = other_axes(x, conventions), (x.dtype, gamma.dtype, beta.dtype)

    @staticmethod
    def backward(ctx, dy, dcentered, _dscale):
        centered, scale, gamma = ctx.saved_tensors
        gradients = derivatives.of_constants(centered, scale, gamma, ctx.axes, dy, dcentered)  # x's shape, (C,), (C,)
        return *in_dtypes(gradients, ctx.dtypes), None, None, None, None

    @staticmethod
    def jvp(ctx, tx, tgamma, tbeta, _tmean, _tvar, _teps, _tconventions):
        centered, scale, gamma = ctx.saved_tensors
        ty, tcentered = derivatives.along_constants(centered, scale, gamma, tx, tgamma, tbeta)
        return ty.to(ctx.dtypes[0]), tcentered, None


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
        outputs = NormalizeManyByMoving.apply(x, *parameters, eps, conventions)
        return tuple(map(fold.unfolded, outputs)), (0, 0, 0)


def by_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(y, mean, var, centered, scale): x's shape, (C,), (C,), x's shape, (C*)."""
    work = working_dtype(x, gamma)
    shape, lanes = per_channel_shape(x, conventions), lanes_of(x, conventions)
    if x.numel() == 0:
        mean = x.new_zeros(shape, dtype=work)  # (C*): the mean of no values would be NaN
        centered, var = x - mean, mean.clone()  # x's shape, (C*)
        y = centered.clone()  # x's shape
    else:
        n = x.numel() // len(gamma)
        rows = lanes.rows(x)  # x's shape, or joined, as what is made of it
        mean = lanes.sum(rows, work, shape) / n  # (C*)
        centered = rows - lanes.over(mean)  # working dtype
        y = centered.square()  # its memory is y's, for now it holds the squares
        var = lanes.sum(y, work, shape) / n  # (C*)
    scale = inverse_std(var, eps, conventions)  # (C*)
    # From x - mean, never x * a + b: that difference would cancel where mean is large against std.
    scaled_and_shifted(centered, gamma.view(shape) * scale, beta.view(shape), lanes, out=y)
    y, centered = lanes.back(y, x), lanes.back(centered, x)  # x's shape
    return y.to(x.dtype), mean.flatten(), var.flatten(), centered, scale


def scaled_and_shifted(rows: Tensor, factor: Tensor, offset: Tensor, lanes: Lanes, *, out: Tensor) -> None:
    """rows * factor + offset into `out`, factor and offset (C*): in one pass where the channels lie side by side.

    Where a run of values shares its factor and offset, PyTorch does one value at a time in one pass, and two by vectors
    are faster.
    """
    factor, offset = lanes.over(factor), lanes.over(offset)
    if (lanes.joined > 1 or rows.stride(lanes.axis) == 1) and rows.dtype == out.dtype:
        torch.addcmul(offset, rows, factor, out=out)
    else:
        torch.mul(rows, factor, out=out)
        out += offset


def by_moving(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float, conventions: Conventions
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, centered, scale): x's shape, x's shape, (C*)."""
    work = working_dtype(x, gamma)
    shape = per_channel_shape(x, conventions)
    scale = inverse_std(var.to(work), eps, conventions).view(shape)  # (C*)
    centered = x - mean.to(work).view(shape)  # x's shape
    y = centered * (gamma.view(shape) * scale)  # x's shape
    y += beta.view(shape)
    return y.to(x.dtype), centered, scale


def in_dtypes(gradients, dtypes):
    """The gradients of x, gamma and beta in the dtypes of these. None is none."""
    return tuple(g if g is None else g.to(dtype) for g, dtype in zip(gradients, dtypes, strict=True))
