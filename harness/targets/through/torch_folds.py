"""What PyTorch folds a batch norm into, for prediction."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from harness.targets.through.mixing import Mixing, alone, reversing, reversing_in_groups
from harness.targets.through.torch_convolutions import (
    computed_in,
    convolution,
    convolved,
    dense,
    inputs,
    multiplied,
    transposed,
)
from harness.targets.through.torch_programs import without_compiler
from harness.targets.wrap.torch_module import TorchModule


def fuse(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001 - prediction only
    """fuse_conv_bn_eval with a 1x1 convolution of weight 1, a group for each channel."""
    module = convolution(x, alone(x.shape[1]))
    return convolved(fuse_conv_bn_eval(module, constants(adapter, x)), x)


def fuse_conv(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_conv_bn_eval with a 1x1 convolution that reverses the channels."""
    return _convolved(adapter, x, reversing(x.shape[1]))


def fuse_grouped(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_conv_bn_eval with a 1x1 convolution in groups of several channels, which it reverses."""
    return _convolved(adapter, x, reversing_in_groups(x.shape[1]))


def fuse_transposed(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_conv_bn_eval(transpose=True) with a transposed 1x1 convolution that reverses the channels."""
    return _convolved(adapter, x, reversing(x.shape[1]), transposed, transpose=True)


def fuse_transposed_grouped(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_conv_bn_eval(transpose=True) with a transposed 1x1 convolution in groups of several channels."""
    return _convolved(adapter, x, reversing_in_groups(x.shape[1]), transposed, transpose=True)


def fuse_conv_inductor(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """torch.compile with Inductor's freezing, of a 1x1 convolution that reverses the channels."""
    return _frozen(adapter, x, reversing(x.shape[1]))


def fuse_grouped_inductor(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """The same with a convolution in groups of several channels."""
    return _frozen(adapter, x, reversing_in_groups(x.shape[1]))


def fuse_dense(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_linear_bn_eval with a product that reverses the channels, which come last in it."""
    mixing = reversing(x.shape[1])
    mixed = inputs(x, mixing)
    return multiplied(fuse_linear_bn_eval(dense(x, mixing), constants(adapter, x)), mixed)


def _convolved(
    adapter: TorchModule,
    x: Tensor,
    mixing: Mixing,
    make: Callable[[Tensor, Mixing], Any] = convolution,
    *,
    transpose: bool = False,
) -> Tensor:
    mixed = inputs(x, mixing)
    return convolved(fuse_conv_bn_eval(make(x, mixing), constants(adapter, x), transpose), mixed)


def _frozen(adapter: TorchModule, x: Tensor, mixing: Mixing) -> Tensor:
    """Raises NotImplementedError where there is no compiler, or Inductor leaves the batch norm there."""
    import torch._inductor.config as inductor
    from torch._dynamo.exc import BackendCompilerFailed

    mixed = inputs(x.detach(), mixing)
    module = nn.Sequential(convolution(x, mixing), constants(adapter, x)).eval()
    with inductor.patch(freezing=True), torch.no_grad(), without_compiler(), compiled_graphs() as operators:
        try:
            y = convolved(torch.compile(module, fullgraph=True), mixed)
        except BackendCompilerFailed as error:  # of float64 convolutions, with a batch norm or without
            reason = str(error.inner_exception).splitlines()[0]
            raise NotImplementedError(f"Inductor freezes no {computed_in(x)}: {reason}") from error
    left = [name for name in operators if name.partition(".")[2].startswith(("rsqrt", "sqrt", "sub", "mul", "div"))]
    if left or not operators:
        raise NotImplementedError(f"Inductor folds no batch norm into the convolution: {', '.join(left)} is left")
    return y


@contextlib.contextmanager
def compiled_graphs() -> Iterator[list[str]]:
    """The operators that are left of each graph that Inductor freezes, once it is compiled."""
    from torch._inductor import compile_fx

    compiler: Any = compile_fx.fw_compiler_freezing
    operators: list[str] = []

    def looked_at(graph: Any, *given: Any, **named: Any) -> Any:
        compiled = compiler(graph, *given, **named)
        operators.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return compiled

    with mock.patch.object(compile_fx, "fw_compiler_freezing", looked_at):
        yield operators


def constants(adapter: TorchModule, x: Tensor) -> Any:
    """A copy of the layer in prediction mode. Raises NotImplementedError for what PyTorch does not fold."""
    if not isinstance(adapter.layer, nn.modules.batchnorm._BatchNorm):
        raise NotImplementedError(f"fuse_conv_bn_eval takes torch's batch norms, not {type(adapter.layer).__name__}")
    if adapter.layer.running_mean is None:
        raise NotImplementedError("without moving statistics there is nothing to fold")
    torch.backends.cudnn.allow_tf32 = False  # in the backward pass too: products in 10 bits are not the fold's doing
    return copy.deepcopy(adapter.layer).to(computed_in(x)).eval()
