# targets: paddle, paddle-channels-last
# title: a float64 layer rounds its epsilon to float32
# documented: not found in its API page or its issues
import numpy as np
import paddle

paddle.set_default_dtype("float64")
x, eps = np.random.default_rng(0).normal(size=(8, 3)) * 1e-3, 1e-5
y = paddle.nn.BatchNorm1D(3, epsilon=eps)(paddle.to_tensor(x)).numpy()
d, var = x - x.mean(axis=0), x.var(axis=0)
asked, rounded = (abs(y - d / np.sqrt(var + e)).max() for e in (eps, float(np.float32(eps))))
assert y.dtype == np.float64
assert asked > 1e3 * rounded
print(f"FINDING y errs by {asked:.2g} with eps = 1e-5, and by {rounded:.2g} with 1e-5 rounded to float32")
