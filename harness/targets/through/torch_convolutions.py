"""What a torch batch norm is folded into, for prediction: y and dx are judged, by the bounds of a fold.

x * w + b, w = gamma / s and b = beta - mean * gamma / s, in the dtype of the parameters: it cancels where the mean is
large. What it is folded into does nothing but put channels in another order (mixing.py), of which the input is the
reverse, so that what comes out is the batch norm's own y.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.targets.through.mixing import Mixing, must_be_finite

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def computed_in(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def convolution(x: Tensor, mixing: Mixing) -> Any:
    """1x1, of x's rank; x has its channels on axis 1."""
    weight = torch.from_numpy(mixing.weight.copy())  # (C, K/groups)
    kind = CONVOLUTIONS[max(x.dim() - 2, 1) - 1]
    made = kind(len(mixing.order), len(weight), 1, groups=mixing.groups, device=x.device, dtype=computed_in(x))
    return _with(weight, made)


def transposed(x: Tensor, mixing: Mixing) -> Any:
    """The same as a transposed convolution."""
    kind = TRANSPOSED[max(x.dim() - 2, 1) - 1]
    made = kind(len(mixing.order), len(mixing.weight), 1, groups=mixing.groups, device=x.device, dtype=computed_in(x))
    return _with(torch.from_numpy(mixing.transposed()), made)


def dense(x: Tensor, mixing: Mixing) -> Any:
    weight = torch.from_numpy(mixing.weight.copy())
    return _with(weight, nn.Linear(len(mixing.order), len(weight), device=x.device, dtype=computed_in(x)))


def _with(weight: Tensor, module: Any) -> Any:
    """The module with this weight and a bias of 0, in prediction mode."""
    with torch.no_grad():
        module.weight.copy_(weight.reshape(module.weight.shape))
        module.bias.zero_()
    return module.eval()


def inputs(x: Tensor, mixing: Mixing) -> Tensor:
    """(N, K, ...). Raises NotImplementedError for x that is not finite."""
    must_be_finite(torch.isfinite(x))
    return x.index_select(1, torch.tensor(mixing.order, device=x.device))


def convolved(module: Any, x: Tensor) -> Tensor:
    """What a convolution makes of (N, K, ...), as (N, C, ...) in x's dtype; of rank 2 as well."""
    wide = x.to(computed_in(x))
    y = module(wide if x.dim() > 2 else wide.unsqueeze(-1))
    return (y if x.dim() > 2 else y.squeeze(-1)).to(x.dtype)


def multiplied(module: Any, x: Tensor) -> Tensor:
    """What a dense layer makes of them, channel by channel."""
    return module(x.to(computed_in(x)).movedim(1, -1)).movedim(-1, 1).to(x.dtype)
