"""The steps of a training on a CPU, with half of each batch on each of two cores.

Within one device XLA shares out each operation among its threads, and a step is a hundred of them: they wait for each
other after every one, and each reads what the other has written, which takes long where the cores are far apart. As two
devices with half a batch each, the cores meet only where a batch norm needs the sums of both and gradients are added.
The host is two devices where JAX is told so before it first looks for them: see `prepare`.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from impls.jax_flax.steps import count_correct, scaled, sgd_step

AXIS = "halves"
OF_BATCHES = PartitionSpec(None, None, None, AXIS), PartitionSpec(None, AXIS)
"""Of what `gathered` gives."""


def prepare() -> None:
    """Make two devices of the host where this process has two cores, unless a number of them has been set.

    Of no effect once JAX has looked for devices: it has one then, as elsewhere. So whatever may look first calls it.
    """
    number = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]  # -1 where nobody has set it
    if number < 0 and "device_count" not in os.environ.get("XLA_FLAGS", "") and cores() == 2:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", 2)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def two_devices(batch_size: int) -> Mesh | None:
    """Those that take half a batch of this size each; None where it is one device's work.

    A rule, so that a training's last digits do not hang on the clock. Nor would a measurement at the start decide well:
    it takes 3 s to compile the other program, 0.3 s where JAX has kept it, and in three processes on a busy machine 13
    steps of each said 0.80, 0.97 and 0.94 for one device's time / two's, of which the next hundred made 1.0, 1.5, 1.0.
    With more cores than two it is not known to be faster than XLA's own threads.
    """
    devices = jax.devices("cpu")
    if batch_size % 2 or cores() != 2 or len(devices) < 2:
        return None
    return Mesh(devices[:2], (AXIS,), axis_types=(AxisType.Auto,))


def run_steps(
    graph: Any, params: Any, stats: Any, train_set: tuple, order: jax.Array, first: int, last: int, rate: jax.Array,
    *, batch_size: int, at_once: int,
) -> tuple:  # fmt: skip
    """As `steps.run_steps` of a `TiledLeNet`; last - first is at most `at_once`. What it returns is on its devices."""
    mesh = two_devices(batch_size)
    batches = gathered(*train_set, order, first, batch_size=batch_size, at_once=at_once)
    if mesh is None:
        params, stats = of_first_device((params, stats))
    else:
        batches = tuple(
            jax.device_put(a, NamedSharding(mesh, spec)) for a, spec in zip(batches, OF_BATCHES, strict=True)
        )
        params, stats = jax.device_put((params, stats), NamedSharding(mesh, PartitionSpec()))
    return loop(graph, params, stats, *batches, last - first, rate, mesh=mesh)


def of_first_device(arrays: Any) -> Any:
    """A tree of arrays that are the same on every device -> those of this process's first device."""
    return jax.tree.map(lambda array: array.addressable_data(0), arrays)


@partial(jax.jit, static_argnames=("batch_size", "at_once"))
def gathered(images, labels, order, first, *, batch_size, at_once):
    """The batches of `at_once` steps from `first` on: pixels (at_once, 28, 28, n) and labels (at_once, n).

    The batch is the last axis, as the network has it: written down so once, and not in each place that reads it.
    """
    places = (first * batch_size + jnp.arange(at_once * batch_size)).reshape(at_once, batch_size)
    examples = order[places]  # beyond the end the last one, in batches that no step asks for
    return images[examples].transpose(0, 2, 3, 1), labels[examples]


@partial(jax.jit, static_argnums=0, static_argnames="mesh")
def loop(graph, params, stats, pixels, labels, steps, learning_rate, *, mesh):
    """So many steps on these batches: (params, stats, loss sum, correct)."""
    dtype, axis = learning_rate.dtype, AXIS if mesh else None

    def of_device(params, stats, pixels, labels, steps, learning_rate):
        def step(i, state):
            params, stats, loss_sum, correct = state
            x, y = scaled(pixels[i], dtype).transpose(2, 0, 1), labels[i]  # (n, 28, 28), (n,): all, or a half
            params, stats, loss, logits = sgd_step(graph, params, stats, x, y, learning_rate, axis)
            return params, stats, loss_sum + loss * len(y), correct + count_correct(logits, y)

        start = params, stats, jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
        params, stats, *sums = jax.lax.fori_loop(0, steps, step, start)
        return params, stats, *(jax.lax.psum(sums, axis) if axis else sums)

    if mesh is None:
        return of_device(params, stats, pixels, labels, steps, learning_rate)
    same = PartitionSpec()
    sharded = jax.shard_map(
        of_device, mesh=mesh, in_specs=(same, same, *OF_BATCHES, same, same), out_specs=same, check_vma=False
    )
    return sharded(params, stats, pixels, labels, steps, learning_rate)
