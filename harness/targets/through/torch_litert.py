"""A torch module in LiteRT, by litert-torch: the layer alone, and after a convolution or dense layer.

Functions as those of torch_programs.py. litert-torch's converter folds the batch norm into what is before it; each
puts channels in another order (mixing.py), as for PyTorch's own folds.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import Tensor, nn

from harness.targets.through import litert as runtime
from harness.targets.through.mixing import Mixing, must_be_folded, reversing, reversing_in_groups
from harness.targets.through.torch_convolutions import computed_in, convolution, convolved, dense, inputs, transposed
from harness.targets.through.torch_folds import constants
from harness.targets.through.torch_layer import first_line
from harness.targets.wrap.torch_module import TorchModule


def litert(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:
    """The layer alone: y of a prediction."""
    if x.dtype is torch.bfloat16:
        raise NotImplementedError("LiteRT takes NumPy's arrays, which have no bfloat16")
    adapter.layer.train(training)
    return _Converted(adapter.layer)(x.detach())


def fuse_conv_litert(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001 - prediction only
    """A 1x1 convolution that reverses the channels."""
    return _convolved(adapter, x, reversing(x.shape[1]))


def fuse_grouped_litert(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """A 1x1 convolution in groups of several channels, which it reverses."""
    return _convolved(adapter, x, reversing_in_groups(x.shape[1]))


def fuse_transposed_litert(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """A transposed 1x1 convolution."""
    return _convolved(adapter, x, reversing(x.shape[1]), transposed)


def fuse_dense_litert(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """A product that reverses the channels, with a batch norm of rows after it."""
    norm, mixing = constants(adapter, x), reversing(x.shape[1])
    of_rows = nn.BatchNorm1d(norm.num_features, norm.eps).to(computed_in(x))
    of_rows.load_state_dict(norm.state_dict())
    rows = inputs(x.detach(), mixing).movedim(1, -1)
    folded = _Converted(nn.Sequential(dense(x, mixing), of_rows.eval()), "a dense layer")
    y = folded(rows.reshape(-1, rows.shape[-1]).to(computed_in(x)))
    return y.reshape(rows.shape).movedim(-1, 1).to(x.dtype)


def _convolved(adapter: TorchModule, x: Tensor, mixing: Mixing, make: Any = convolution) -> Tensor:
    module = make(x, mixing)
    folded = _Converted(nn.Sequential(module, constants(adapter, x)), type(module).__name__)
    return convolved(folded, inputs(x.detach(), mixing))


class _Converted:
    """A module in prediction mode as a model of LiteRT, which is made for the shape that comes."""

    def __init__(self, module: nn.Module, folded_into: str = "") -> None:
        self.module, self.folded_into = module, folded_into

    def __call__(self, x: Tensor) -> Tensor:
        """Raises NotImplementedError for what litert-torch does not convert, or does not fold."""
        import litert_torch

        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                model = litert_torch.convert(self.module, (x,))
                content = model.model_content()
        except Exception as error:
            reason = first_line(error).rpartition("error: ")[2]  # before it stand files of this machine
            raise NotImplementedError(f"litert-torch refuses {x.dtype}: {reason}") from error
        y, operators = runtime.run(content, x.numpy())
        if self.folded_into:
            must_be_folded(operators, self.folded_into, "litert-torch")
        return torch.from_numpy(y)
