"""flax.nnx.BatchNorm as it comes: the target `flax-nnx`. Two-pass variance: `FlaxNnxTwoPass`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from impls.jax_flax.under_test import Module

NAMES = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_var": "var"}


class FlaxNnx(Module):
    conventions = "flax"
    parameters = ("scale", "bias")
    use_fast_variance = True

    def __init__(self, setup: Any) -> None:
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        self.layer: Any = nnx.BatchNorm(
            setup.num_features,
            **{name: value for name, value in given.items() if value is not None},
            dtype=jnp.dtype(setup.dtype),
            param_dtype=setup.gamma.dtype,
            use_fast_variance=self.use_fast_variance,
            rngs=nnx.Rngs(0),
        )
        for ours, theirs in NAMES.items():
            getattr(self.layer, theirs).set_value(jnp.asarray(getattr(setup, ours)))

    def stats(self) -> dict[str, jax.Array]:
        return {"moving_mean": self.layer.mean[...], "moving_var": self.layer.var[...]}


class FlaxNnxTwoPass(FlaxNnx):
    use_fast_variance = False
