# targets: tinygrad
# title: with float16 x, deviations are squared in float16, and mean and variance rounded to it, in a float32 layer
# documented: not found; an issue of a user, neuroneural/brainchop-cli 56, finds the squares of its group norm inf
import numpy as np
from tinygrad import Tensor, helpers, nn

x = np.random.default_rng(0).normal(0, 300, (4096, 3)).astype(np.float16)
variances = []
for values in (x.astype(np.float32), x):
    layer = nn.BatchNorm(3, momentum=1.0)  # the statistics become the batch's
    with helpers.Context(TRAINING=1):
        layer(Tensor(values)).realize()
    variances.append(layer.running_var.numpy().tolist())
    print(f"the {layer.running_var.dtype} variance of {values.dtype} values is {variances[-1]}")
assert np.isfinite(variances[0]).all()
assert not np.isfinite(variances[1]).any()
print("FINDING the variance of float16 values, of standard deviation 300, is infinite")
