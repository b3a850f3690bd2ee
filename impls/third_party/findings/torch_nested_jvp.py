# targets: torch-native
# title: forward mode of forward mode is wrong in training; forward over reverse and reverse over reverse are right
# documented: https://github.com/pytorch/pytorch/issues/196699
import warnings

import torch
from torch.func import hessian, jvp

warnings.simplefilter("ignore")
x, way = torch.tensor([[1.0], [2.0], [4.0]]).double(), torch.tensor([[1.0], [0.0], [0.0]]).double()


def y0(x):
    return torch.nn.functional.batch_norm(x, None, None, training=True)[0, 0]


def plain(x):
    return ((x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5))[0, 0]


def along(f):
    return jvp(lambda x: jvp(f, (x,), (way,))[1], (x,), (way,))[1].item()


by_reverse = hessian(y0)(x)[0, 0, 0, 0].item()
assert abs(by_reverse - along(plain)) < 1e-10 < 0.05 < abs(along(y0) - along(plain))
print(f"FINDING jvp of jvp is {along(y0):.4f}; by the plain formula {along(plain):.4f}, by hessian {by_reverse:.4f}")
