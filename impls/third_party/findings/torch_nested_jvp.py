# targets: torch-native
# title: forward mode, differentiated again in either mode, is wrong in training; forward over reverse is right
# documented: https://github.com/pytorch/pytorch/issues/196699
import warnings

import torch
from torch.func import grad, hessian, jvp

warnings.simplefilter("ignore")
x, way = torch.tensor([[1.0], [2.0], [4.0]]).double(), torch.tensor([[1.0], [0.0], [0.0]]).double()


def y0(x):
    return torch.nn.functional.batch_norm(x, None, None, training=True)[0, 0]


def along(x):
    return jvp(y0, (x,), (way,))[1]


want = hessian(y0)(x)[0, 0, 0, 0].item()  # the plain formula gives the same
forward, reverse = jvp(along, (x,), (way,))[1].item(), grad(along)(x)[0, 0].item()
assert min(abs(forward - want), abs(reverse - want)) > 0.05
print(f"FINDING jvp of jvp is {forward:.4f}, the gradient of jvp {reverse:.4f}; by hessian {want:.4f}")
