# targets: tensorflow-xla
# title: compiled by XLA, the fused kernel's variance is E[x^2] - E[x]^2: a large mean makes y NaN
# documented: its issue 118701 reports it, closed
import numpy as np
import tensorflow as tf

x = tf.constant((np.random.default_rng(0).normal(size=(16, 2, 2, 3)) + 1e4).astype(np.float32))


def fused(x):
    return tf.raw_ops.FusedBatchNormV3(x=x, scale=[1.0] * 3, offset=[0.0] * 3, mean=[], variance=[], epsilon=1e-5)


as_it_is, by_xla = fused(x), tf.function(fused, jit_compile=True)(x)
assert np.allclose(as_it_is.batch_variance, np.var(x, (0, 1, 2), ddof=1), rtol=1e-3)
spoilt, error = np.isnan(by_xla.y).sum(), np.nanmax(abs(by_xla.y - as_it_is.y))
assert spoilt or error > 1
print(f"FINDING {spoilt} of {x.shape.num_elements()} y are NaN, and the others err by up to {error:.3g}")
