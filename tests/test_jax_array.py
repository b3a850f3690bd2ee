"""An array of NumPy's on JAX's device: a copy, of whatever strides, that needs no program to be compiled."""

import jax
import numpy as np
import pytest

from harness.targets.wrap.common import flat
from harness.targets.wrap.jax_array import jax_array

jax.config.update("jax_enable_x64", True)


def aligned(size: int) -> np.ndarray:
    """float64 (size,) where JAX would share the memory: at a multiple of 64 bytes."""
    memory = np.zeros(8 * size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 8 * size].view(np.float64)


def test_it_does_not_change_with_what_it_was_made_of():
    x = aligned(4096)
    on_device = jax_array(x)
    x[:] = 2
    assert np.all(np.asarray(on_device) == 0)


@pytest.mark.parametrize(
    "x", [np.arange(6.0)[::-1], np.broadcast_to(np.float32(3), (4, 5)), np.zeros((0, 3)), np.arange(24.0)[1::3]]
)
def test_any_strides(x):
    on_device = jax_array(x)
    assert on_device.dtype == x.dtype
    assert np.array_equal(np.asarray(on_device), x)


def test_what_has_one_axis_is_flat_as_it_is():
    per_channel, spread = jax_array(np.arange(3.0)), jax_array(np.arange(3.0).reshape(1, 3, 1))
    assert flat(per_channel) is per_channel
    assert np.array_equal(np.asarray(flat(spread)), np.arange(3.0))
    assert flat(np.float64(2)).shape == (1,)
