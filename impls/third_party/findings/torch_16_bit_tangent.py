# targets: torch-native
# title: in forward mode y of a 16-bit x has a float32 tangent, and a convolution that follows raises
# documented: not found
import torch
from torch.nn import functional as F  # noqa: N812

layer, weight = torch.nn.BatchNorm2d(4).eval(), torch.randn(4, 4, 1, 1).bfloat16()
x, way = torch.randn(2, 2, 4, 3, 3).bfloat16()


def normalized(x):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)


F.conv2d(normalized(x), weight)
y, tangent = torch.func.jvp(normalized, (x,), (way,))
assert y.dtype == torch.bfloat16 != tangent.dtype
try:
    torch.func.jvp(lambda x: F.conv2d(normalized(x), weight), (x,), (way,))
except RuntimeError as error:
    print(f"FINDING y is {y.dtype}, its tangent {tangent.dtype}; a convolution of it: {error}")
else:
    raise AssertionError("the convolution's tangent is made")
