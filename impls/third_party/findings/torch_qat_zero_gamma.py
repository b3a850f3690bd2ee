# targets: torch-folded
# title: folded for quantization-aware training, a channel whose gamma is 0 is NaN, and so are its statistics for good
# documented: https://github.com/pytorch/pytorch/pull/85744, with a slow path that is off as it comes
import torch
from torch import nn
from torch.ao.nn.intrinsic import ConvBn2d
from torch.ao.nn.intrinsic.qat import ConvBn2d as Folded
from torch.ao.quantization import QConfig

convolution, norm = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)
norm.weight.data[1] = 0
pair = ConvBn2d(convolution, norm)
pair.qconfig = QConfig(activation=nn.Identity, weight=nn.Identity)  # nothing is rounded
folded, x = Folded.from_float(pair), torch.randn(4, 3, 5, 5)
y = folded(x)
assert norm(convolution(x)).isfinite().all()
assert y.isnan().all(dim=(0, 2, 3)).tolist() == folded.bn.running_var.isnan().tolist() == [False, True, False]
print("FINDING y of the channel is NaN, running_var", folded.bn.running_var.tolist())
