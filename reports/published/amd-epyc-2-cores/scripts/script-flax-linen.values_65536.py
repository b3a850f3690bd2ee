"""flax-linen in case values_65536, bfloat16: dx of step 0 (train)."""

from pathlib import Path

import ml_dtypes  # for NumPy's bfloat16
import numpy as np

with np.load(Path(__file__).with_name('script-flax-linen.values_65536.npz')) as file:
    arrays = {name: array.view(ml_dtypes.bfloat16) for name, array in file.items()}

channels, eps, momentum = 1, 3.0, 0.875
gamma = np.array([0.7518106698989868], np.float32)
beta = np.array([0.9389522075653076], np.float32)
moving_mean = np.array([0.541412353515625], np.float32)
moving_var = np.array([0.9087100625038147], np.float32)

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

expected, bound = 1.1236306384114414, 0.005844838163592331
got = float(results['dx'][(2, 0, 4, 15)])
print(f"dx[2, 0, 4, 15] is {got!r}, not {expected!r}; rounding allows an error of {bound:.3g}")
raise SystemExit(not abs(got - expected) <= bound)
