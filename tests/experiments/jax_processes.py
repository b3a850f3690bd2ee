"""Our synchronized layer in several processes of JAX: python -m tests.experiments.jax_processes [PROCESSES].

Each process has one device; jax.distributed joins them, and XLA's collectives go by gloo. Prints, of every process, the
largest difference from one layer on the whole batch in float64, and whether all have the same statistics to the bit.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import numpy as np

CHANNELS, EXAMPLES, PIXELS = 5, 2, 3
"""Examples of each process."""


def of_process(rank: int, processes: int, port: int) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_x64", True)
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, rank)
    import jax.numpy as jnp
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    from impls.jax_flax.batch_norm import batch_norm
    from impls.jax_flax.sync_batch_norm import sync_batch_norm

    rng = np.random.default_rng(0)
    x = rng.normal(10.0 * np.arange(EXAMPLES * processes)[:, None, None], 1.0, (EXAMPLES * processes, CHANNELS, PIXELS))
    dy, gamma, beta = rng.normal(size=x.shape), rng.uniform(0.5, 2.0, CHANNELS), rng.normal(size=CHANNELS)
    start = (np.zeros(CHANNELS), np.ones(CHANNELS), 1e-5, 0.9)

    def gradients(norm, x, dy):
        def objective(x, gamma, beta):
            y, mean, var = norm(x, gamma, beta, *start)
            return (y * dy).sum(), (y, mean, var)

        (dx, dgamma, dbeta), (y, mean, var) = jax.grad(objective, argnums=(0, 1, 2), has_aux=True)(
            x, jnp.asarray(gamma), jnp.asarray(beta)
        )
        return y, dx, mean[None], var[None], dgamma, dbeta

    def of_device(x, dy):
        return gradients(lambda *arguments: sync_batch_norm(*arguments, axis_name="data"), x, dy)

    mesh = jax.make_mesh((processes,), ("data",), axis_types=(AxisType.Auto,))
    sharded, same = PartitionSpec("data"), PartitionSpec()
    step = jax.shard_map(of_device, mesh=mesh, in_specs=sharded, out_specs=(*[sharded] * 4, same, same))
    place = NamedSharding(mesh, sharded)
    results = jax.jit(step)(*(jax.make_array_from_callback(a.shape, place, a.__getitem__) for a in (x, dy)))
    expected = gradients(lambda *arguments: batch_norm(*arguments, training=True), jnp.asarray(x), jnp.asarray(dy))
    of_rank = slice(EXAMPLES * rank, EXAMPLES * (rank + 1))
    apart, statistics = {}, {}
    for name, result, whole in zip(("y", "dx", "mean", "var", "dgamma", "dbeta"), results, expected, strict=True):
        ours = np.asarray(result.addressable_shards[0].data)
        apart[name] = float(np.abs(ours - np.asarray(whole)[of_rank if name in ("y", "dx") else ...]).max())
        if name in ("mean", "var"):
            statistics[name] = ours.tobytes().hex()
    print(json.dumps({"rank": rank, "apart": apart, "statistics": statistics}))


def main() -> None:
    if len(sys.argv) == 4:
        of_process(*map(int, sys.argv[1:]))
        return
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.experiments.jax_processes"]
    started = [
        subprocess.Popen([*command, str(rank), str(processes), str(port)], stdout=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]
    answers = [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in started]
    for answer in answers:
        print(f"rank {answer['rank']}:", ", ".join(f"{name} {apart:.1e}" for name, apart in answer["apart"].items()))
    print("statistics equal to the bit:", all(answer["statistics"] == answers[0]["statistics"] for answer in answers))


if __name__ == "__main__":
    main()
