# targets: torch-native
# title: second derivatives of a 16-bit x are computed in 16 bits, that by gamma too, which is float32
# documented: a comment in FunctionsManual.cpp, batchnorm_double_backward, which casts the saved statistics to x's type
import torch
from torch.autograd import grad

torch.manual_seed(0)
x, dy, way = torch.randn(3, 8, 16, 4, 4).bfloat16()


def by_gamma(kind, parameters):
    layer, point = torch.nn.BatchNorm2d(16, dtype=parameters), x.to(kind).requires_grad_()
    dx, first = grad(layer(point), (point, layer.weight), dy.to(kind), create_graph=True)
    return first, *grad(dx, layer.weight, way.to(kind))


want, errors = by_gamma(torch.float64, torch.float64), {}
for kind in (torch.float32, torch.bfloat16):  # the same numbers in both
    got = by_gamma(kind, torch.float32)
    errors[kind] = [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(got, want)]  # noqa: B905
first, second = errors[torch.bfloat16]
assert max(first, *errors[torch.float32]) < 1e-6 < 1e-3 < second
print(f"FINDING of bfloat16 x the gradient by gamma errs by {first:.1g}, the second derivative by {second:.1g}")
