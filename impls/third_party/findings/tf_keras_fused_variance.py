# targets: tf-keras
# title: the moving variance is unbiased at rank 4 in float32, where the fused kernel is taken, and biased elsewhere
# documented: not by the layer; TensorFlow's issue 55545 reports it
import numpy as np
import tf_keras

x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
moved = {}
for shape in ((4, 3), (4, 1, 1, 3)):
    layer = tf_keras.layers.BatchNormalization(momentum=0.0)
    layer(x.reshape(shape), training=True)
    moved[len(shape)] = layer.moving_variance.numpy()
assert np.allclose(moved[2], x.var(axis=0), rtol=1e-5)
assert np.allclose(moved[4], x.var(axis=0, ddof=1), rtol=1e-5)
at_2, at_4 = (", ".join(f"{v:.4f}" for v in moved[rank]) for rank in (2, 4))
print(f"FINDING the same values give {at_2} at rank 2, {at_4} at rank 4")
