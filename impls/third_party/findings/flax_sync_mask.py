# targets: flax-nnx, flax-linen
# title: with axis_name and a mask, every device weighs alike, however many of its values count
# documented: no; axis_name averages the devices' statistics by pmean, and a mask counts within a device alone
import jax
import jax.numpy as jnp
from flax import linen

x = jnp.array([[[1.0], [1.0], [1.0]], [[5.0], [0.0], [0.0]]])  # two devices, three values and one
mask = jnp.array([[[True]] * 3, [[True], [False], [False]]])
layer = linen.BatchNorm(use_running_average=False, momentum=0.0, axis_name="data", use_fast_variance=False)
zero, one = jnp.zeros(1), jnp.ones(1)
state = {"params": {"scale": one, "bias": zero}, "batch_stats": {"mean": zero, "var": one}}
_, moved = jax.vmap(lambda x, m: layer.apply(state, x, mask=m, mutable=["batch_stats"]), axis_name="data")(x, mask)
mean, var = (float(moved["batch_stats"][name][0, 0]) for name in ("mean", "var"))
assert mean == 3.0
assert x[mask].mean() == 2.0
print(
    f"FINDING the mean of 1, 1, 1 and 5 is {mean}, not {x[mask].mean()}; their variance is {var}, not {x[mask].var()}"
)
