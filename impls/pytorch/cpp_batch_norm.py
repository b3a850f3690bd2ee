"""Batch normalization by the C++ kernels of `cpp/`, for the CPU: which calls they take, and how the layer calls them.

They are used where they have been built, by `python -m impls.pytorch.cpp_batch_norm`, which `make report` begins with.
With large x most of the time goes into the first write to each page of y and dx: PyTorch takes them in huge pages where
THP_MEM_ALLOC_ENABLE=1 is in the environment.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from impls.pytorch import cpp_build


def forward(layer: Any, x: Tensor) -> Tensor | None:
    """What `layer`, a BatchNorm, makes of x, in its mode; in training the moving statistics have moved then.

    None, and nothing has changed, where that is for the plain operations: where the kernels are not built or
    `layer.cpp` is False; another device, subclasses, memory with gaps, an empty batch, one value per channel,
    parameters of another dtype than that of the arithmetic; and calls that are traced or transformed (torch.compile,
    torch.export, torch.jit.trace, functorch, forward-mode differentiation, dispatch modes).
    Raises RuntimeError where `layer.cpp` is True and the kernels are not built.
    """
    if layer.cpp is False or not x.is_cpu or torch.compiler.is_compiling():
        return None
    operators = cpp_build.operators()
    if operators is None:
        if layer.cpp:
            raise RuntimeError(f"the C++ kernels are not built: {cpp_build.COMMAND}")
        return None
    if is_followed():
        return None
    train, predict = operators
    gamma, beta = parameters_of(layer)
    c = layer.conventions
    inside = c.eps_at == "inside_sqrt"
    if not layer.training:
        mean, var = layer.moving_statistics()
        return predict(x, gamma, beta, mean, var, layer.eps, c.channel_axis, inside)
    return train(
        x,
        gamma,
        beta,
        layer.moving_mean,
        layer.moving_var,
        layer.updates,
        layer.eps,
        layer.momentum,
        c.channel_axis,
        inside,
        c.momentum == "keep",
        c.moving_var == "unbiased",
    )


def parameters_of(layer: Any) -> tuple[Tensor, Tensor]:
    """gamma and beta, from where a module keeps them: by its attributes each takes a tenth of a small call.

    They are elsewhere where something computes them, as torch.nn.utils.parametrize does.
    """
    try:
        return layer._parameters["gamma"], layer._parameters["beta"]
    except KeyError:
        return layer.gamma, layer.beta


def is_followed() -> bool:
    """Whether something follows each operation of this call, and needs operations that it knows."""
    return (
        forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


if __name__ == "__main__":
    try:
        print(cpp_build.build())
    except cpp_build.NotBuiltError as error:
        raise SystemExit(f"the C++ kernels could not be built: {error}") from None
