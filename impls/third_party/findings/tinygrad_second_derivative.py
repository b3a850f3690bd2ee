# targets: tinygrad
# title: second derivatives of training by x are wrong: the mean is detached inside the variance
# documented: not found; a comment in its code says that d(var)/d(mean) is 0, which holds for the first derivative alone
import numpy as np
from tinygrad import Tensor, dtypes, helpers, nn

step = 1e-5


def slope(x):
    layer = nn.BatchNorm(1, affine=False, track_running_stats=False)
    return layer(x)[0].sum().gradient(x)[0]


with helpers.Context(TRAINING=1) if hasattr(helpers, "TRAINING") else Tensor.train():
    given = np.array([[1.0], [2.0], [4.0]])
    x = Tensor(given, dtype=dtypes.float64)
    second = slope(x)[0].sum().gradient(x)[0].numpy().ravel()
    moved = np.eye(3)[:, :, None] * step
    ends = [[slope(Tensor(given + sign * by)).numpy()[0, 0] for by in moved] for sign in (1, -1)]
differences = np.subtract(*ends) / (2 * step)
assert abs(second - differences).max() > 0.05
print(f"FINDING d2 y0/dx0 dx is {second.round(4)}, by finite differences {differences.round(4)}")
