"""Batch normalization (Ioffe and Szegedy 2015) in PyTorch: the formula as one would teach it, then a function and a
module that compute the same faster.

The fast form, in fast_batch_norm.py, has the closed-form backward of the paper's section 3, and reads and writes x as
few times as plain PyTorch operations allow. A test holds the two forms equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from impls.pytorch import cpp_batch_norm
from impls.pytorch.channels import RANKS, other_axes, per_channel_shape
from impls.pytorch.fast_batch_norm import normalize_by_batch, normalize_by_moving
from impls.pytorch.triton_choice import suits_kernels
from reference.conventions import D2L, Conventions


def plain_batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving_mean: Tensor,
    moving_var: Tensor,
    eps: float,
    momentum: float,
    *,
    training: bool,
    conventions: Conventions = D2L,
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, moving_mean, moving_var) by the plain two-pass formula, in x's dtype. Autograd differentiates it.

    x: rank 2 to 5, channels at `conventions.channel_axis`, at least one value per channel; the rest (C,). (C*) in the
    comments is (C,) with size 1 on every other axis of x, so that it broadcasts. Debiasing takes a count of updates
    and is left to `BatchNorm`.
    """
    axes = other_axes(x, conventions)  # all but the channels'
    shape = per_channel_shape(x, conventions)  # the sizes of (C*)
    if training:
        mean = x.mean(axes, keepdim=True)  # (C*)
        var = ((x - mean) ** 2).mean(axes, keepdim=True)  # (C*): sum/n, biased
    else:
        mean, var = moving_mean.reshape(shape), moving_var.reshape(shape)  # (C*), (C*)
    if conventions.eps_at == "inside_sqrt":
        x_hat = (x - mean) / torch.sqrt(var + eps)  # x's shape
    else:
        x_hat = (x - mean) / (torch.sqrt(var) + eps)  # x's shape
    y = gamma.reshape(shape) * x_hat + beta.reshape(shape)  # x's shape
    if training:
        n = x.numel() // len(gamma)  # values per channel
        averaged = var * n / (n - 1) if conventions.moving_var == "unbiased" else var  # (C*)
        keep = momentum if conventions.momentum == "keep" else 1 - momentum  # the weight of the old value
        moving_mean = keep * moving_mean + (1 - keep) * mean.flatten()  # (C,)
        moving_var = keep * moving_var + (1 - keep) * averaged.flatten()  # (C,)
    return y, moving_mean, moving_var


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving_mean: Tensor,
    moving_var: Tensor,
    eps: float,
    momentum: float,
    *,
    training: bool,
    conventions: Conventions = D2L,
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, moving_mean, moving_var) by the fast form. The inputs are not modified.

    x: rank 2 to 5, channels at `conventions.channel_axis`; the rest (C,). y has x's shape and dtype;
    the arithmetic and the statistics are at least float32. An empty batch leaves the moving ones as they are.
    Where the conventions debias, this is taken as the first update; `BatchNorm` counts them.
    Raises TypeError for a non-float x, ValueError for a wrong rank or channel count and, where
    `single_value` is "error", for one value per channel in training.
    """
    if not training:
        y = normalize_by_moving(x, gamma, beta, moving_mean, moving_var, eps, conventions)
        return y, moving_mean, moving_var
    y, mean, var = normalize_by_batch(x, gamma, beta, eps, conventions)  # x's shape, (C,), (C,)
    if x.numel() == 0:
        return y, moving_mean, moving_var
    var = averaged_variance(var, x.numel() // len(gamma), conventions)  # (C,)
    keep, new = moving_weights(momentum, conventions, moving_mean.dtype)
    average_mean = keep * moving_mean + new * mean  # (C,)
    average_var = keep * moving_var + new * var  # (C,)
    average_mean = debiased(average_mean, 1, momentum, conventions)  # (C,)
    return y, average_mean, debiased(average_var, 1, momentum, conventions)


class BatchNorm(nn.Module):
    """A batch-norm layer for x of rank 2 to 5. Its mode is the module's: `train()` or `eval()`.

    Parameters gamma, beta; buffers moving_mean, moving_var, all (C,), and `updates`, the number of training
    steps. Where the conventions debias, the buffers hold the raw averages; `moving_statistics()` gives what
    is used and should be shown. For 16-bit x leave the module in float32.

    torch.jit.trace and torch.export take it, torch.jit.script does not. TorchScript, which PyTorch has deprecated,
    knows neither dataclasses such as the conventions nor autograd functions; a second formula for it alone would be
    another layer than the one that is judged.
    """

    conventions: Conventions = D2L
    """Those of a layer that is not given others."""
    dtypes = ("float64", "float32", "bfloat16", "float16")
    """Those of x that it takes."""
    ranks = RANKS
    kernels: bool | None = None
    """Whether to compute by Triton kernels. None: where they can, on CUDA. True: on other devices too. False: never."""
    cpp: bool | None = None
    """Whether to compute by the C++ kernels. None: where they can, on the CPU, once they are built. True: it is an
    error where they are not built. False: never."""
    moving_mean: Tensor
    moving_var: Tensor
    updates: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float | None = None,
        momentum: float | None = None,
        conventions: Conventions = D2L,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        self.num_features = num_features
        self.eps = conventions.default_eps if eps is None else eps
        self.momentum = conventions.default_momentum if momentum is None else momentum
        self.conventions = conventions
        self.gamma = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))  # (C,)
        self.beta = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))  # (C,)
        self.register_buffer("moving_mean", torch.zeros(num_features, device=device, dtype=dtype))  # (C,)
        self.register_buffer("moving_var", torch.ones(num_features, device=device, dtype=dtype))  # (C,)
        self.register_buffer("updates", torch.zeros((), device=device, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if suits_kernels(x, self):
            from impls.pytorch import triton_batch_norm  # only where Triton is

            return triton_batch_norm.forward(self, x)
        if (y := cpp_batch_norm.forward(self, x)) is not None:
            return y
        if not self.training:
            mean, var = self.moving_statistics()
            return normalize_by_moving(x, self.gamma, self.beta, mean, var, self.eps, self.conventions)
        y, mean, var = normalize_by_batch(x, self.gamma, self.beta, self.eps, self.conventions)
        if x.numel() > 0:
            self.update(mean, var, x.numel() // self.num_features)
        return y

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the moving statistics towards those of a batch of n values per channel."""
        var = averaged_variance(var, n, self.conventions)  # (C,)
        keep, new = moving_weights(self.momentum, self.conventions, self.moving_mean.dtype)
        self.moving_mean.mul_(keep).add_(mean, alpha=new)
        self.moving_var.mul_(keep).add_(var, alpha=new)
        self.updates.add_(1)

    def moving_statistics(self) -> tuple[Tensor, Tensor]:
        """(moving mean, moving variance) as prediction uses them: debiased where the conventions say so."""
        if not self.conventions.debias:
            return self.moving_mean, self.moving_var
        return (
            debiased(self.moving_mean, self.updates, self.momentum, self.conventions),
            debiased(self.moving_var, self.updates, self.momentum, self.conventions),
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, conventions={self.conventions}"


def sigmoid_of(norm: nn.Module, x: Tensor) -> Tensor:
    """The sigmoid of what a layer makes of x: one kernel does both where the layer is ours and goes to kernels."""
    if isinstance(norm, BatchNorm) and suits_kernels(x, norm) and not (norm._forward_hooks or norm._forward_pre_hooks):
        from impls.pytorch import triton_batch_norm  # only where Triton is

        return triton_batch_norm.forward(norm, x, sigmoid=True)
    return norm(x).sigmoid()


# --- moving statistics ---


def averaged_variance(var: Tensor, n: int, conventions: Conventions) -> Tensor:
    """What the moving variance averages, (C,): the biased variance of n values, or Bessel's n/(n - 1) times that."""
    if conventions.moving_var == "biased":
        return var
    return var * (n / (n - 1)) if n > 1 else torch.full_like(var, torch.nan)  # (C,)


def moving_weights(momentum: float, conventions: Conventions, dtype: torch.dtype) -> tuple[float, float]:
    """(weight of the old value, weight of the new): the number that was given, in the statistics' precision, and 1 less
    that number."""
    given = momentum if dtype is torch.float64 else in_float32(momentum)
    return (given, 1 - given) if conventions.momentum == "keep" else (1 - given, given)


def in_float32(number: float) -> float:
    """Rounded to 24 bits (Veltkamp 1968): by arithmetic, which torch.compile sees through."""
    split = number * (2**29 + 1.0)
    return split - (split - number)


def debiased(average: Tensor, updates: Tensor | int, momentum: float, conventions: Conventions) -> Tensor:
    """Kingma and Ba 2015, section 3: divide by 1 - keep_weight^t. Before any update: as it is."""
    if not conventions.debias:
        return average
    keep, _ = moving_weights(momentum, conventions, average.dtype)
    t = torch.as_tensor(updates, device=average.device)  # ()
    wide = torch.promote_types(average.dtype, torch.float32)
    weight = 1 - torch.full((), keep, dtype=wide, device=average.device) ** t  # (): of all updates together
    return torch.where(t > 0, average / weight, average)  # (C,)
