# targets: megengine
# title: in prediction, now and then the gradient of weight is what lay in memory before
# documented: not found in its API page or its issues
import numpy as np
from megengine import Tensor
from megengine.autodiff import GradManager
from megengine.module import BatchNorm2d

values, layer, wrong = np.random.default_rng(0).normal(size=(2, 4, 300, 3, 2)).astype(np.float32), BatchNorm2d(300), []
layer.eval()
want = (values[0] * values[1]).sum((0, 2, 3)) / np.sqrt(1 + layer.eps)
for _ in range(2000):
    x, dy = map(Tensor, values)
    layer.weight.grad = None
    with GradManager().attach([x, layer.weight, layer.bias]) as manager:
        manager.backward(layer(x), dy)
    got = layer.weight.grad.numpy().ravel()
    wrong += [] if np.allclose(got, want, atol=1e-2) else [got[0]]
assert wrong
print(f"FINDING of 2000 times the same gradient {len(wrong)} are wrong: {wrong[0]:.3g}, not {want[0]:.3g}")
