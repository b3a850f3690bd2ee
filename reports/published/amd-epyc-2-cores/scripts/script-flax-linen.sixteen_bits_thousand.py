"""flax-linen in case sixteen_bits_thousand, bfloat16: dx of step 1 (train)."""

from pathlib import Path

import ml_dtypes  # for NumPy's bfloat16
import numpy as np

with np.load(Path(__file__).with_name('script-flax-linen.sixteen_bits_thousand.npz')) as file:
    arrays = {name: array.view(ml_dtypes.bfloat16) for name, array in file.items()}

channels, eps, momentum = 5, 1e-05, 0.875
gamma = np.array([1.1389280557632446, -0.6780619621276855, 1.415516972541809, 1.659723162651062, -1.4002413749694824], np.float32)
beta = np.array([1.3841525316238403, -0.9904927611351013, 0.8055121898651123, -1.3805668354034424, 0.9826023578643799], np.float32)
moving_mean = np.array([-0.3242303133010864, 0.6340135931968689, 0.41989371180534363, 0.9220185279846191, 0.9733577966690063], np.float32)
moving_var = np.array([1.5560306310653687, 0.27939727902412415, 1.6622228622436523, 0.9897723197937012, 2.0084495544433594], np.float32)

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
    ('eval', arrays['x0'], arrays['dy0']),
    ('train', arrays['x1'], arrays['dy1']),
]
for op, x, dy in steps:
    results = call(op, x, dy)

expected, bound = -0.008175378380627034, 0.0006990664513448326
got = float(results['dx'][(2, 3, 6, 7)])
print(f"dx[2, 3, 6, 7] is {got!r}, not {expected!r}; rounding allows an error of {bound:.3g}")
raise SystemExit(not abs(got - expected) <= bound)
