# targets: flax-linen, flax-linen-two-pass, flax-nnx, flax-nnx-two-pass
# title: dx of 16-bit input is added up from parts that are each rounded to 16 bits: a small dx keeps no digit
# documented: not found; autodiff rounds once for each cast of x to float32. Against the largest part the error is small
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

x, dy = (jnp.asarray(a, jnp.bfloat16) for a in np.random.default_rng(0).normal(size=(2, 64, 8)))
dx = []
for kind in (jnp.bfloat16, jnp.float32):
    layer = linen.BatchNorm(use_running_average=False, use_fast_variance=False, dtype=kind)
    state = layer.init(jax.random.key(0), x)
    y, backward = jax.vjp(lambda x, f=layer, s=state: f.apply(s, x, mutable=["batch_stats"])[0], x.astype(kind))
    dx.append(np.asarray(backward(dy.astype(kind))[0], np.float64))
at = np.unravel_index(np.argmax(abs(dx[0] / dx[1] - 1)), x.shape)
assert abs(dx[0][at] / dx[1][at] - 1) > 0.1
print(f"FINDING dx is {dx[0][at]:.4g}; from the same numbers in float32 it is {dx[1][at]:.4g}")
