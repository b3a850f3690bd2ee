"""flax-linen in case small_variance_1024, bfloat16: dx of step 0 (train)."""

from pathlib import Path

import ml_dtypes  # for NumPy's bfloat16
import numpy as np

with np.load(Path(__file__).with_name('script-flax-linen.small_variance_1024.npz')) as file:
    arrays = {name: array.view(ml_dtypes.bfloat16) for name, array in file.items()}

channels, eps, momentum = 2, 1e-05, 0.875
gamma = np.array([1.4216132164001465, -1.1519309282302856], np.float32)
beta = np.array([0.6862190365791321, -0.5716522932052612], np.float32)
moving_mean = np.array([-0.9722458720207214, 0.9699071645736694], np.float32)
moving_var = np.array([0.3709450364112854, 0.5609837770462036], np.float32)

import jax
import jax.numpy as jnp
from flax import linen

jax.config.update("jax_enable_x64", True)
layer = linen.BatchNorm(epsilon=eps, momentum=momentum, dtype=jnp.bfloat16, param_dtype=jnp.float32)
params = {"scale": jnp.asarray(gamma), "bias": jnp.asarray(beta)}
stats = {"mean": jnp.asarray(moving_mean), "var": jnp.asarray(moving_var)}


def apply(op, x, dy):
    global stats

    def loss(params, x):
        variables = {"params": params, "batch_stats": stats}
        y, moved = layer.apply(variables, x, use_running_average=op == "eval", mutable=["batch_stats"])
        return jnp.sum(y * dy), (y, moved["batch_stats"])

    gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, (y, moved)), (by_params, dx) = gradients(params, x)
    stats = moved
    return y, dx, by_params["scale"], by_params["bias"]


def statistics():
    return {"moving_mean": stats["mean"], "moving_var": stats["var"]}


def call(op, x, dy):
    x, dy = (jnp.asarray(np.moveaxis(array, 1, -1)) for array in (x, dy))  # flax has the channels last
    y, dx, dgamma, dbeta = apply(op, x, dy)
    results = {"y": jnp.moveaxis(y, -1, 1), "dx": jnp.moveaxis(dx, -1, 1), "dgamma": dgamma, "dbeta": dbeta}
    return {name: np.asarray(value, np.float64) for name, value in (results | statistics()).items()}


steps = [
    ('train', arrays['x0'], arrays['dy0']),
]
for op, x, dy in steps:
    results = call(op, x, dy)

expected, bound = 0.26614055867777825, 0.022751557561614857
got = float(results['dx'][(1, 0, 7, 0)])
print(f"dx[1, 0, 7, 0] is {got!r}, not {expected!r}; rounding allows an error of {bound:.3g}")
raise SystemExit(not abs(got - expected) <= bound)
