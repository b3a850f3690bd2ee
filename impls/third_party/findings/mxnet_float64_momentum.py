# targets: mxnet
# title: a float64 layer rounds its momentum to float32
# documented: its API page calls it a "float"; not found in its issues
import mxnet as mx
import numpy as np

x = mx.nd.array([[1.0], [3.0]], dtype="float64")  # of mean 2
layer = mx.gluon.nn.BatchNorm(in_channels=1, momentum=0.9)
layer.initialize()
layer.cast("float64")
with mx.autograd.record():
    y = layer(x)
y.backward()  # the statistics move here
moved = layer.running_mean.data().asscalar()
assert moved.dtype == np.float64
assert moved == 2 * (1 - float(np.float32(0.9)))
print(f"FINDING the moving mean goes from 0 to {moved:.12f}, not 0.2: by the momentum {np.float64(np.float32(0.9))}")
