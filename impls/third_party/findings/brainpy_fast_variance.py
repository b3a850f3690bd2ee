# targets: brainpy
# title: the variance is E[x^2] - E[x]^2: a large mean spoils it
# documented: not found in its API page; the layer has no argument for it
import brainpy
import jax.numpy as jnp
import numpy as np

x = (np.random.default_rng(0).normal(size=(16, 4, 3)) + 1e4).astype(np.float32)
layer = brainpy.dnn.BatchNorm1d(3)
brainpy.share.save(fit=True)
y = np.asarray(layer(jnp.asarray(x)))
wide = x.astype(np.float64)
error = abs(y - (wide - wide.mean((0, 1))) / np.sqrt(wide.var((0, 1)) + 1e-5)).max()
assert error > 1
print(f"FINDING y errs by {error:.3g} where the mean is 10,000 and the deviation 1")
