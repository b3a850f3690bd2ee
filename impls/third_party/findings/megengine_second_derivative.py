# targets: megengine
# title: second derivatives of training by x are partly what lay in memory before
# documented: not found in its issues (searched for second order gradients); GradManager's docstring offers them
import numpy as np
from megengine import Tensor, autodiff, module

x, dy, along = np.random.default_rng(0).normal(size=(3, 8, 3)).astype(np.float32)


def first(x):
    x, dev = x.astype(np.float64), 1 / np.sqrt(x.astype(np.float64).var(0) + 1e-5)
    x_hat = (x - x.mean(0)) * dev
    return dev * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))


point = Tensor(x)
with autodiff.GradManager().attach([point]) as outer:
    with autodiff.GradManager().attach([point]) as inner:
        inner.backward(module.BatchNorm1d(3)(point), Tensor(dy))
    dx, point.grad = point.grad, None
    outer.backward(dx, Tensor(along))
second, differences = point.grad.numpy(), (first(x + 1e-4 * along) - first(x - 1e-4 * along)) / 2e-4
assert np.allclose(dx.numpy(), first(x), atol=1e-4)
assert abs(second - differences).max() > 0.1
print(f"FINDING second derivatives {second[0]}, by finite differences {differences[0].round(4)}")
