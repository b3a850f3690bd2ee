"""Layers and a function in JAX and flax, as users write them, for tests/test_recognise.py."""

import jax
from flax import linen, nnx


class Linen(linen.Module):
    epsilon: float = 1e-5
    momentum: float = 0.9

    @linen.compact
    def __call__(self, x, train: bool):
        numbers = {"epsilon": self.epsilon, "momentum": self.momentum}
        norm = linen.BatchNorm(**numbers, use_fast_variance=False, dtype=x.dtype, param_dtype=x.dtype)
        return norm(x, use_running_average=not train)


class LinenSubclass(linen.BatchNorm):
    use_fast_variance: bool = False


class NnxSubclass(nnx.BatchNorm):
    def __init__(self, num_features, *, epsilon=1e-5, momentum=0.9, rngs, **others):
        others["use_fast_variance"] = False
        super().__init__(num_features, epsilon=epsilon, momentum=momentum, rngs=rngs, **others)


class NoMode(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=True)(x)


class Nnx(nnx.Module):
    def __init__(self, features, eps=1e-5, momentum=0.9, *, rngs):
        self.norm = nnx.BatchNorm(features, epsilon=eps, momentum=momentum, use_fast_variance=False, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)


def batch_norm(x, scale, bias, mean, var, *, eps=1e-5, decay=0.9, train=True):
    if train:
        axes = tuple(range(x.ndim - 1))
        now_mean = x.mean(axes)
        now_var = ((x - now_mean) ** 2).mean(axes)
        kept = decay * mean + (1 - decay) * now_mean, decay * var + (1 - decay) * now_var
        mean, var = now_mean, now_var
    else:
        kept = mean, var
    return (x - mean) * jax.lax.rsqrt(var + eps) * scale + bias, kept


compiled = jax.jit(batch_norm, static_argnames="train")
compiled_for_numbers = jax.jit(batch_norm, static_argnames=("eps", "decay", "train"))
