"""The scale, 1 over the standard deviation, and how it depends on the variance."""

from __future__ import annotations

import torch
from torch import Tensor

from reference.conventions import Conventions


def inverse_std(var: Tensor, eps: float, conventions: Conventions) -> Tensor:
    if conventions.eps_at == "inside_sqrt":
        return torch.rsqrt(var + eps)  # as var
    return 1 / (torch.sqrt(var) + eps)  # as var


def variance_slope(var: Tensor, scale: Tensor, eps_at: str) -> Tensor | float:
    """How the scale depends on var, relative to the -scale^3/2 that the closed form assumes.

    With eps outside the root, d scale/d var = -scale^2/(2 sqrt(var)): a factor 1/(scale sqrt(var)).
    A constant channel (var = 0) has x_hat = 0 and takes no slope.
    """
    if eps_at == "inside_sqrt":
        return 1.0
    std = torch.sqrt(var)  # (C*)
    return torch.where(std > 0, 1 / (scale * std), 0.0)  # (C*)


def differentiable_scale(var: Tensor, eps: float, eps_at: str) -> tuple[Tensor, Tensor | float]:
    """(scale, slope) as above, as functions of var (C*) whose derivatives are finite where it is 0."""
    if eps_at == "inside_sqrt":
        return 1 / torch.sqrt(var + eps), 1.0  # (C*)
    varies = var > 0  # (C*)
    std = torch.where(varies, torch.sqrt(torch.where(varies, var, 1)), 0)  # (C*): no root of 0 is differentiated
    scale = 1 / (std + eps)  # (C*)
    return scale, torch.where(varies, 1 / (scale * torch.where(varies, std, 1)), 0)  # (C*), (C*)
