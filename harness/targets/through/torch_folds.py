"""What PyTorch folds a batch norm into, for prediction: y and dx are judged, by the bounds of a fold.

x * w + b, w = gamma / s and b = beta - mean * gamma / s, in the dtype of the parameters: it cancels where the mean is
large. What it is folded into does nothing but deal with channels, so that what comes out is the batch norm's own y:
each channel by itself, or, where all channels are mixed, in reverse order, of which x is the reverse. There a scale on
the wrong axis of the weight belongs to another channel. The products with the weights that are 0 add nothing.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from harness.targets.wrap.torch_module import TorchModule

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def fuse(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001 - prediction only
    """fuse_conv_bn_eval with a 1x1 convolution of weight 1, a group for each channel."""
    convolution = _convolution(CONVOLUTIONS, x, groups=x.shape[1])
    nn.init.ones_(convolution.weight)
    return _predicted(fuse_conv_bn_eval(convolution, _constants(adapter, x)), x)


def fuse_conv(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_conv_bn_eval with a 1x1 convolution that reverses the channels."""
    convolution = _reversing(_convolution(CONVOLUTIONS, x), x)
    return _predicted(fuse_conv_bn_eval(convolution, _constants(adapter, x)), x.flip(1))


def fuse_transposed(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_conv_bn_eval(transpose=True) with a transposed 1x1 convolution that reverses the channels."""
    convolution = _reversing(_convolution(TRANSPOSED, x), x)
    fused: Any = fuse_conv_bn_eval(convolution, _constants(adapter, x), transpose=True)
    return _predicted(fused, x.flip(1))


def fuse_dense(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001
    """fuse_linear_bn_eval with a product that reverses the channels, which come last in it."""
    dense = _reversing(nn.Linear(x.shape[1], x.shape[1], device=x.device, dtype=_computed_in(x)).eval(), x)
    fused = fuse_linear_bn_eval(dense, _constants(adapter, x))
    return fused(x.flip(1).to(_computed_in(x)).movedim(1, -1)).movedim(-1, 1).to(x.dtype)


def _computed_in(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _constants(adapter: TorchModule, x: Tensor) -> Any:
    """A copy of the layer in prediction mode. Raises NotImplementedError for what PyTorch does not fold."""
    if not isinstance(adapter.layer, nn.modules.batchnorm._BatchNorm):
        raise NotImplementedError(f"fuse_conv_bn_eval takes torch's batch norms, not {type(adapter.layer).__name__}")
    if adapter.layer.running_mean is None:
        raise NotImplementedError("without moving statistics there is nothing to fold")
    torch.backends.cudnn.allow_tf32 = False  # in the backward pass too: products in 10 bits are not the fold's doing
    return copy.deepcopy(adapter.layer).to(_computed_in(x)).eval()


def _convolution(kinds: Any, x: Tensor, groups: int = 1) -> Any:
    """A 1x1 convolution of x's channels, without bias to speak of."""
    channels, kind = x.shape[1], kinds[max(x.dim() - 2, 1) - 1]
    convolution = kind(channels, channels, 1, groups=groups, device=x.device, dtype=_computed_in(x)).eval()
    nn.init.zeros_(convolution.bias)
    return convolution


def _reversing(module: Any, x: Tensor) -> Any:
    """With a weight that reverses the channels. Raises NotImplementedError for x that is not finite."""
    if not torch.isfinite(x).all():
        raise NotImplementedError("0 times what is not finite is not 0: all channels would be spoiled")
    channels = x.shape[1]
    reverse = torch.eye(channels, dtype=module.weight.dtype, device=x.device).flip(0)
    with torch.no_grad():
        module.weight.copy_(reverse.reshape(channels, channels, *(1,) * (module.weight.dim() - 2)))
        module.bias.zero_()
    return module


def _predicted(convolution: Any, x: Tensor) -> Tensor:
    wide = x.to(_computed_in(x))
    return convolution(wide if x.dim() > 2 else wide.unsqueeze(-1)).reshape(x.shape).to(x.dtype)
