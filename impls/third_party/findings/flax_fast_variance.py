# targets: flax-nnx, flax-linen
# title: at mean/std 1e4 the float32 variance has no right digit
# documented: yes: use_fast_variance=True, "less numerically stable", is the default
import jax.numpy as jnp
import numpy as np
from flax import nnx

x = np.random.default_rng(0).normal(1e4, 1.0, (1024, 1)).astype(np.float32)
layer = nnx.BatchNorm(1, momentum=0.0, rngs=nnx.Rngs(0))
layer(jnp.asarray(x))
got, want = float(layer.var[0]), float(x.var(dtype=np.float64))
assert abs(got - want) > 0.01 * want
print(f"FINDING variance is {got:.4g}, not {want:.4g}")
