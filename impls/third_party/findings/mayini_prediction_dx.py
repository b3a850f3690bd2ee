# targets: mayini
# title: in prediction, dx flows through statistics that are constants there
# documented: not found in its README
import mayini as mn
import numpy as np

x = mn.Tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), requires_grad=True)
layer = mn.nn.BatchNorm1d(3)
layer.eval()
layer(x).sum().backward()
want = 1 / np.sqrt(1 + layer.eps)  # y = (x - 0) / sqrt(1 + eps), so that each dx is this
error = abs(np.asarray(x.grad) - want).max()
assert error > 0.5
print(f"FINDING dx of sum(y) is {np.ravel(x.grad)[0]:.3g}, not {want:.3g}")
