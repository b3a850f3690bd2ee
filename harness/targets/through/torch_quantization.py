"""A batch norm as quantization-aware training folds it into a convolution, in training too, with nothing quantized.

The convolution's weights are scaled by gamma/sqrt(moving_var + eps), so that they may be rounded as they will be in
prediction; what it gives is divided by the same number, and goes through the batch norm as it is. On paper nothing has
changed. In floating point x is rounded twice on the way, and where gamma is 0 nothing is left.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.targets.through.mixing import reversing
from harness.targets.through.torch_convolutions import computed_in, convolution, convolved, inputs
from harness.targets.wrap.torch_module import TorchModule

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
STATE = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def qat(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:
    """torch.ao's ConvBn of quantization-aware training, of a 1x1 convolution that reverses the channels.

    Raises NotImplementedError for what it does not fold, and where PyTorch has no torch.ao.
    """
    layer: Any = adapter.layer
    if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
        raise NotImplementedError(f"torch.ao folds torch's batch norms, not {type(layer).__name__}")
    if layer.running_mean is None or layer.weight is None:
        raise NotImplementedError("torch.ao folds no batch norm without gamma or without moving statistics")
    torch.backends.cudnn.allow_tf32 = False
    rank, mixing = max(x.dim() - 2, 1), reversing(x.shape[1])
    norm: Any = NORMS[rank - 1](layer.num_features, layer.eps, layer.momentum, dtype=computed_in(x), device=x.device)
    for name in STATE:
        setattr(norm, name, getattr(layer, name))  # the tensors themselves: gradients and statistics are the layer's
    module = folded(convolution(x, mixing), norm, f"ConvBn{rank}d")
    return convolved(module.train(training), inputs(x, mixing))


def folded(convolution: nn.Module, norm: nn.Module, kind: str) -> Any:
    """The module that `torch.ao.quantization.prepare_qat` puts in the place of the two."""
    try:
        from torch.ao.nn import intrinsic
        from torch.ao.nn.intrinsic import qat as aware
        from torch.ao.quantization import QConfig
    except ImportError as error:
        raise NotImplementedError(f"PyTorch {torch.__version__} has no torch.ao to fold with: {error}") from error
    pair: Any = getattr(intrinsic, kind)(convolution, norm)
    pair.qconfig = QConfig(activation=nn.Identity, weight=nn.Identity)
    return getattr(aware, kind).from_float(pair)
