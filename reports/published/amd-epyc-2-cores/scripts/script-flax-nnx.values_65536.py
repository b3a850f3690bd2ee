"""flax-nnx in case values_65536, bfloat16: dbeta of step 1 (eval)."""

from pathlib import Path

import ml_dtypes  # for NumPy's bfloat16
import numpy as np

with np.load(Path(__file__).with_name('script-flax-nnx.values_65536.npz')) as file:
    arrays = {name: array.view(ml_dtypes.bfloat16) for name, array in file.items()}

channels, eps, momentum = 1, 3.0, 0.875
gamma = np.array([0.7518106698989868], np.float32)
beta = np.array([0.9389522075653076], np.float32)
moving_mean = np.array([0.541412353515625], np.float32)
moving_var = np.array([0.9087100625038147], np.float32)

import jax
import jax.numpy as jnp
from flax import nnx

jax.config.update("jax_enable_x64", True)
types = {"dtype": jnp.bfloat16, "param_dtype": jnp.float32}
layer = nnx.BatchNorm(channels, epsilon=eps, momentum=momentum, rngs=nnx.Rngs(0), **types)
for name, value in (("scale", gamma), ("bias", beta), ("mean", moving_mean), ("var", moving_var)):
    getattr(layer, name).set_value(jnp.asarray(value))


@nnx.jit
def gradients(layer, x, dy):
    def loss(layer, x):
        y = layer(x)
        return jnp.sum(y * dy), y

    return nnx.value_and_grad(loss, argnums=(0, 1), has_aux=True)(layer, x)


def apply(op, x, dy):
    layer.eval() if op == "eval" else layer.train()
    (_, y), (by_layer, dx) = gradients(layer, x, dy)
    return y, dx, by_layer["scale"][...], by_layer["bias"][...]


def statistics():
    return {"moving_mean": layer.mean[...], "moving_var": layer.var[...]}


def call(op, x, dy):
    x, dy = (jnp.asarray(np.moveaxis(array, 1, -1)) for array in (x, dy))  # flax has the channels last
    y, dx, dgamma, dbeta = apply(op, x, dy)
    results = {"y": jnp.moveaxis(y, -1, 1), "dx": jnp.moveaxis(dx, -1, 1), "dgamma": dgamma, "dbeta": dbeta}
    return {name: np.asarray(value, np.float64) for name, value in (results | statistics()).items()}


steps = [
    ('train', arrays['x0'], arrays['dy0']),
    ('eval', arrays['x1'], arrays['dy1']),
]
for op, x, dy in steps:
    results = call(op, x, dy)

expected, bound = 742.0, 7.703723467111967e-34
got = float(results['dbeta'][(0,)])
print(f"dbeta[0] is {got!r}, not {expected!r}; rounding allows an error of {bound:.3g}")
raise SystemExit(not abs(got - expected) <= bound)
