# targets: flax-nnx, flax-nnx-two-pass
# title: with dtype=bfloat16 nnx rounds its float32 scale and bias to 16 bits before use, which linen does not
# documented: not found ("dtype: the dtype of the result"); flax.linen, given the same, keeps float32 until the result
import jax.numpy as jnp
from flax import linen, nnx

x, kind = jnp.ones((1, 1), jnp.bfloat16), {"dtype": jnp.bfloat16, "use_running_average": True, "epsilon": 0.0}
params = {"scale": jnp.asarray([1.003]), "bias": jnp.asarray([-1.0])}
stats = {"mean": jnp.zeros(1), "var": jnp.ones(1)}
layer = nnx.BatchNorm(1, **kind, rngs=nnx.Rngs(0))
layer.scale.set_value(params["scale"])
layer.bias.set_value(params["bias"])
y, y_linen = layer(x), linen.BatchNorm(**kind).apply({"params": params, "batch_stats": stats}, x)
assert abs(float(y[0, 0]) - 0.003) > 0.001
print(f"FINDING 1.003 * 1 - 1 is {float(y[0, 0])} in nnx, {float(y_linen[0, 0]):.4f} in linen")
