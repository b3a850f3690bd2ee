"""The process of one rank of JAX: python -m harness.train.replicas.jax_rank FOLDER LAUNCHER RANK RANKS ADDRESS.

Each process has one device; jax.distributed joins them, and on CPUs XLA's collectives go by gloo. LAUNCHER is the
process id of the launcher, without which a rank does not go on.
"""

from __future__ import annotations

import os
import sys
import traceback

from harness.train.replicas import beats
from harness.train.replicas.own_part import OwnPart

JOINING_SECONDS = 300
"""How long a rank waits for the others to join. One that hangs is seen earlier."""


def main() -> None:
    folder, launcher, rank, ranks, address = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
    own = OwnPart(folder, launcher, rank, ranks)
    request, data, weights, orders = own.folder.read_request()
    import jax  # noqa: F401 - takes a while: not while the others wait

    with beats.waiting(own.row):
        join(rank, ranks, address, request.device)
    from impls.jax_flax import replicated_training

    replicated_training.advance = beats.counted(replicated_training.advance, own.row, lambda *_: 0)  # no bytes
    result = replicated_training.train(
        data,
        weights,
        orders,
        own.settings(request),
        replicas=ranks,
        on_compiled=lambda: beats.wait_until_all_are_ready(own.beats_of_all, rank),
    )
    own.keep(result)
    leave()


def join(rank: int, ranks: int, address: str, device: str) -> None:
    """Become one of `ranks` processes of JAX with a device each."""
    import jax

    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_num_cpu_devices", 1)
    own_device = [rank] if device == "cuda" else None  # None: all that the process has
    jax.distributed.initialize(address, ranks, rank, own_device, initialization_timeout=JOINING_SECONDS)


def leave() -> None:
    """Wait for the others, and part."""
    import jax

    jax.distributed.shutdown()


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # in good order JAX would wait for the other ranks, which wait for this one
