"""Our layers with their channels last, at every rank."""

from dataclasses import replace

from reference.conventions import D2L
from reference.under_test import NumpyBatchNorm

CHANNELS_LAST = replace(D2L, channel_axis=-1)


class NumpyLayer(NumpyBatchNorm):
    conventions = CHANNELS_LAST

    def __init__(self, setup):
        super().__init__(setup)
        self.layer.conventions = CHANNELS_LAST


def torch_layer(num_features, eps=None, momentum=None):
    from impls.pytorch.option_batch_norm import OptionBatchNorm

    return OptionBatchNorm(num_features, eps, momentum, CHANNELS_LAST)


def flax_layer(num_features, eps=None, momentum=None, dtype=None):
    import jax.numpy as jnp

    from impls.jax_flax.option_batch_norm import OptionBatchNorm

    return OptionBatchNorm(num_features, eps, momentum, CHANNELS_LAST, jnp.float32 if dtype is None else dtype)


for layer in (torch_layer, flax_layer):
    layer.conventions = CHANNELS_LAST
