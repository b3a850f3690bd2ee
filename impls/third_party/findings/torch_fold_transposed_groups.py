# targets: torch-folded
# title: a transposed convolution with groups is not folded: it raises, or leaves a module that cannot be called
# documented: https://github.com/pytorch/pytorch/issues/180995
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

norm, x = nn.BatchNorm2d(4).eval(), torch.randn(2, 4, 5, 5)
ends = {}
for groups in (1, 2, 4):
    convolution = nn.ConvTranspose2d(4, 4, 3, groups=groups).eval()
    try:
        folded = fuse_conv_bn_eval(convolution, norm, transpose=True)
        ends[groups] = f"weight {tuple(folded.weight.shape)} for {tuple(convolution.weight.shape)}"
        assert torch.allclose(folded(x), norm(convolution(x)), atol=1e-5)
    except RuntimeError as error:
        ends[groups] = f"{ends.get(groups, 'raises')}: {str(error)[:58]}"
assert (":" in ends[1], "raises" in ends[2], "(4, 4, 3, 3) for (4, 1, 3, 3)" in ends[4]) == (False, True, True)
print("FINDING", *(f"groups={groups}: {end};" for groups, end in ends.items()))
