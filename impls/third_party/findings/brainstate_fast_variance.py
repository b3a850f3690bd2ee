# targets: brainstate
# title: the variance is E[x^2] - E[x]^2: a large mean spoils it
# documented: use_fast_variance is an argument of the layer
import brainstate
import jax.numpy as jnp
import numpy as np

x = (np.random.default_rng(0).normal(size=(64, 3)) + 1e4).astype(np.float32)
layer = brainstate.nn.BatchNorm0d((3,), momentum=0.0)
with brainstate.environ.context(fit=True):
    y = np.asarray(layer(jnp.asarray(x)))
want = (x - x.astype(np.float64).mean(0)) / np.sqrt(x.astype(np.float64).var(0) + 1e-5)
error = abs(y - want).max()
assert error > 1
print(f"FINDING y errs by {error:.3g}; the variance is {np.ravel(layer.running_var.value)}, not {x.var(0)}")
