# targets: torch-folded
# title: a layer without weight and bias is folded into a convolution, and raises for a dense layer
# documented: https://github.com/pytorch/pytorch/issues/122183
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

norm, x = nn.BatchNorm1d(3, affine=False).eval(), torch.randn(5, 3)
convolution, dense = nn.Conv1d(3, 3, 1).eval(), nn.Linear(3, 3).eval()
folded = fuse_conv_bn_eval(convolution, norm)
assert torch.allclose(folded(x[..., None]), norm(convolution(x[..., None])), atol=1e-5)
try:
    fuse_linear_bn_eval(dense, norm)
except TypeError as error:
    print(f"FINDING fuse_linear_bn_eval raises TypeError: {error}; fuse_conv_bn_eval folds it")
