"""The middle of a stand-alone script: how a layer is built, and `call(op, x, dy)`, which gives results by name.

A `string.Template` each. Before it stand channels, eps, momentum, gamma, beta, moving_mean, moving_var and np.
"""

TORCH = """\
import torch

$layer
for name, value in zip($names, (gamma, beta, moving_mean, moving_var)):
    with torch.no_grad():
        getattr(layer, name).copy_(torch.tensor(value).reshape(getattr(layer, name).shape))


def call(op, x, dy):
    layer.train(op != "eval")
    x, dy = (torch.tensor(array.astype(np.float64)).to(torch.$dtype) for array in (x, dy))
    with torch.set_grad_enabled(op != "train_no_grad"):
        y = layer(x.requires_grad_())
    results = {"y": y}
    if y.requires_grad:
        weights = [getattr(layer, name) for name in $names[:2]]
        results |= zip(("dx", "dgamma", "dbeta"), torch.autograd.grad(y, [x, *weights], dy))
    results |= {ours: getattr(layer, name) for ours, name in zip(("moving_mean", "moving_var"), $names[2:])}
    values = {name: value.detach().double().numpy() for name, value in results.items()}
    return {name: value if name in ("y", "dx") else value.ravel() for name, value in values.items()}
"""

FLAX_CALL = """

def call(op, x, dy):
    x, dy = (jnp.asarray(np.moveaxis(array, 1, -1)) for array in (x, dy))  # flax has the channels last
    y, dx, dgamma, dbeta = apply(op, x, dy)
    results = {"y": jnp.moveaxis(y, -1, 1), "dx": jnp.moveaxis(dx, -1, 1), "dgamma": dgamma, "dbeta": dbeta}
    return {name: np.asarray(value, np.float64) for name, value in (results | statistics()).items()}
"""

NNX = (
    """\
import jax
import jax.numpy as jnp
from flax import nnx

jax.config.update("jax_enable_x64", True)
types = {"dtype": jnp.$dtype, "param_dtype": jnp.$kind}
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
"""
    + FLAX_CALL
)

LINEN = (
    """\
import jax
import jax.numpy as jnp
from flax import linen

jax.config.update("jax_enable_x64", True)
layer = linen.BatchNorm(epsilon=eps, momentum=momentum, dtype=jnp.$dtype, param_dtype=jnp.$kind)
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
"""
    + FLAX_CALL
)

CONTRACT = """\
from types import SimpleNamespace

$layer
setup = SimpleNamespace(num_features=channels, ndim=$ndim, dtype="$dtype", eps=eps, momentum=momentum, device="cpu")
setup.gamma, setup.beta, setup.moving_mean, setup.moving_var = gamma, beta, moving_mean, moving_var
layer = Layer(setup)


def call(op, x, dy):
    results = dict(layer.train_no_grad(x) if op == "train_no_grad" else getattr(layer, op)(x, dy))
    return results | (layer.stats() if hasattr(layer, "stats") else {})
"""
