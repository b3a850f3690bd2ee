# targets: flax-nnx, flax-nnx-two-pass
# title: with dtype=bfloat16 the gradient of the float32 bias is summed in bfloat16
# documented: not found in its API page or its issues
import jax.numpy as jnp
import numpy as np
from flax import nnx

dy = jnp.asarray(np.random.default_rng(0).normal(0.25, 1.0, (1024, 1)), jnp.bfloat16)
layer = nnx.BatchNorm(1, dtype=jnp.bfloat16, param_dtype=jnp.float32, rngs=nnx.Rngs(0))
gradient = nnx.grad(lambda layer: (layer(dy) * dy).sum())(layer)
got, want = float(gradient["bias"][0]), float(np.asarray(dy, np.float64).sum())
assert gradient["bias"][...].dtype == jnp.float32
assert abs(got - want) > 1e-4 * abs(want)
print(f"FINDING the float32 gradient of bias is {got}, the sum of dy is {want}")
