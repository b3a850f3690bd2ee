# targets: haiku
# title: at mean/std 1e4 the float32 variance has no right digit or is negative, and y NaN
# documented: not found in its API page or its issues; flax's issue 1491 describes the same formula
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

x = np.random.default_rng(1).normal(1e4, 1.0, (64, 8)).astype(np.float32)
layer = hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9)(x, is_training=True))
y, _ = layer.apply(*layer.init(jax.random.key(0), x), None, jnp.asarray(x))
std = np.std(y, axis=0)
print(f"FINDING of 8 normalized channels, standard deviations are {', '.join(f'{s:.2f}' for s in std)}, not 1")
assert not (abs(std - 1) < 0.1).all()
