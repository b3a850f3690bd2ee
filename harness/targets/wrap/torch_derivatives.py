"""Forward mode and second derivatives in PyTorch: dual tensors, and autograd.grad of autograd.grad."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

Forward = Callable[[Tensor], Tensor]


def twice(y: Tensor, point: Sequence[Tensor], dy: Tensor, directions: Sequence[Tensor]) -> dict[str, Tensor]:
    """{"dx2", "ddy", "dgamma2"} of y at point, (x, gamma, beta), along directions of their shapes.

    dy must require gradients. Raises NotImplementedError where something on the way is not differentiable twice. What
    hangs on nothing is 0, as PyTorch has it.
    """
    x, gamma, _ = point
    try:
        first = torch.autograd.grad(y, point, dy, create_graph=True)
        if any(map(refuses, first)):
            raise NotImplementedError("its backward may not be differentiated: once_differentiable, or no derivative")
        wanted = (x, dy, gamma)
        second = torch.autograd.grad(first, wanted, directions, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise NotImplementedError(f"PyTorch cannot differentiate it twice: {error}") from error
    return dict(zip(("dx2", "ddy", "dgamma2"), second))  # noqa: B905 - Python 3.9


def refuses(gradient: Tensor) -> bool:
    """Whether what it was computed by includes a refusal. autograd.grad leaves that out, as if it hung on nothing."""
    seen: set[Any] = set()
    nodes: list[Any] = [gradient.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            if node.name().endswith("::Error") or "NotImplemented" in node.name():
                return True
            seen.add(node)
            nodes += [before for before, _ in node.next_functions]
    return False


@contextlib.contextmanager
def duals(tensors: Sequence[Tensor], tangents: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors with their tangents, while forward mode is on; what it warns of by itself is no matter of a layer."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", FutureWarning)
        yield [forward_ad.make_dual(t.detach(), tangent) for t, tangent in zip(tensors, tangents)]  # noqa: B905


def tangent_of(y: Tensor) -> Tensor:
    tangent = forward_ad.unpack_dual(y).tangent
    if tangent is None:
        raise NotImplementedError("y has no tangent: forward mode does not pass through it")
    return tangent.clone()


@contextlib.contextmanager
def replaced(owners: Sequence[tuple[nn.Module, str]], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Each (module, name) with a tensor in place of its own. Raises NotImplementedError for what PyTorch compiled."""
    if any(isinstance(owner, torch.jit.ScriptModule) for owner, _ in owners):
        raise NotImplementedError("the parameters of a scripted module cannot be replaced")
    held: list[dict[str, Any]] = [
        owner._parameters if name in owner._parameters else vars(owner) for owner, name in owners
    ]
    before: list[Any] = [holder[name] for holder, (_, name) in zip(held, owners)]  # noqa: B905 - Python 3.9
    try:
        for holder, (_, name), tensor in zip(held, owners, tensors):  # noqa: B905
            holder[name] = tensor
        yield
    finally:
        for holder, (_, name), tensor in zip(held, owners, before):  # noqa: B905
            holder[name] = tensor
