# targets: megengine
# title: in prediction, now and then the gradient of weight is what lay in memory before; with async_level 0 never
# documented: not found in its API page, nor in its issues (searched for batch_norm, wrong gradients, async_level)
import numpy as np
from megengine import Tensor, autodiff, config, module

values, layer = np.random.default_rng(0).normal(size=(2, 4, 300, 3, 2)).astype(np.float32), module.BatchNorm2d(300)
layer.eval()
want = (values[0] * values[1]).sum((0, 2, 3)) / np.sqrt(1 + layer.eps)


def first_wrong(times):
    for number in range(times):
        x, dy = map(Tensor, values)
        layer.weight.grad = None
        with autodiff.GradManager().attach([x, layer.weight, layer.bias]) as manager:
            manager.backward(layer(x), dy)
        got = layer.weight.grad.numpy().ravel()
        if not np.allclose(got, want, atol=1e-2):
            return f"the {number + 1}. is {got[0]:.3g}, not {want[0]:.3g}"
    return ""


wrong = first_wrong(times=5000)
config.async_level = 0  # every operation is waited for
assert wrong
assert not first_wrong(times=1000)
print(f"FINDING the same gradient over and over: {wrong}; with async_level 0 none of 1000 is wrong")
