# targets: mlx
# title: with 16-bit x, mean and variance are rounded to 16 bits, and x is normalized in 16 bits, in a float32 layer
# documented: not found in its API page or its issues
import mlx.core as mx
import mlx.nn as nn
import numpy as np

x = mx.array(np.random.default_rng(0).normal(1, 1, (4096, 3)), dtype=mx.bfloat16)
errors = []
for values in (x.astype(mx.float32), x):
    layer = nn.BatchNorm(3, momentum=1.0)  # the statistics become the batch's
    y = layer(values)
    exact = np.array(x.astype(mx.float32), np.float64)
    errors.append(abs(np.array(layer.running_mean) - exact.mean(axis=0)).max())
assert y.dtype == layer.running_mean.dtype == mx.float32
assert errors[1] > 1e3 * errors[0]
print(f"FINDING the mean of bfloat16 values errs by {errors[1]:.1g}, of the same in float32 by {errors[0]:.1g}")
