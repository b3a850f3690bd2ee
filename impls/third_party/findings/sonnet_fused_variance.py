# targets: sonnet
# title: the moving variance is unbiased at rank 4, where the fused kernel is taken, and biased elsewhere
# documented: not found in its API page or its issues; for TensorFlow's layer, its issue 55545 reports the same
import numpy as np
import sonnet
import tensorflow as tf

x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
moved = {}
for shape in ((4, 3), (4, 1, 1, 3)):
    layer = sonnet.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.5)
    layer(tf.constant(x.reshape(shape)), is_training=True)
    moved[len(shape)] = layer.moving_variance.value.numpy().ravel()
assert np.allclose(moved[2], x.var(axis=0), rtol=1e-5)
assert np.allclose(moved[4], x.var(axis=0, ddof=1), rtol=1e-5)
at_2, at_4 = (", ".join(f"{v:.4f}" for v in moved[rank]) for rank in (2, 4))
print(f"FINDING the same values give {at_2} at rank 2, {at_4} at rank 4")
