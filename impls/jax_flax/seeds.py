"""Several seeds trained as one program: the steps of `training.py` under `vmap`, with a leading axis of seeds."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from impls.jax_flax.halves import prepare
from impls.jax_flax.lenet import LeNet, Weights
from impls.jax_flax.steps import run_steps
from impls.jax_flax.training import (
    EVALUATION_BATCH,
    STEPS_IN_A_CALL,
    count_correct_in,
    device_name,
    full_precision,
    pieces,
)
from reference.conventions import DEFAULT_SETTINGS, TrainingSettings


def train_seeds(
    data: Any,
    weights: list[Weights],
    orders: np.ndarray,
    settings: TrainingSettings = DEFAULT_SETTINGS,
) -> list[dict[str, Any]]:
    """What `train` returns, one a seed. Seed k starts from `weights[k]` and visits the examples by `orders[k]`.

    orders: (seeds, epochs, n). A record's seconds are the seed's share: those of the epoch over the number of seeds.
    on_progress: called with the examples done by all seeds; on_epoch: with a record and weights a seed.
    Results are those of `train` but for rounding: a batched matmul may add in another order.
    """
    batch_size, dtype, device = settings.batch_size, settings.dtype, settings.device
    seeds = len(weights)
    prepare()  # for trainings that come later in this process
    where = jax.devices(device)[0]
    with full_precision(dtype), jax.default_device(where):
        nets = [LeNet(of_seed, dtype) for of_seed in weights]
        params, stats = (stacked([nnx.state(net, kind) for net in nets]) for kind in (nnx.Param, nnx.BatchStat))
        training, predicting = in_mode(nets[0], "train"), in_mode(nets[0], "eval")
        train_set = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
        test_set = jnp.asarray(data.test_images), jnp.asarray(data.test_labels)
        rate, at_once = jnp.asarray(settings.learning_rate, dtype), STEPS_IN_A_CALL[device]

        started = perf_counter()
        for order, first, _, size in calls(orders[:, 0], batch_size, at_once):
            # from `first` to `first`: no step, but compiled
            jax.block_until_ready(steps_of_all(training, params, stats, train_set, order, first, first, rate, size))
        evaluate_all(predicting, params, stats, test_set, EVALUATION_BATCH[device])
        compile_seconds = perf_counter() - started

        histories: list[list[dict]] = [[] for _ in nets]
        done = (settings.first_epoch - 1) * seeds * orders.shape[2]
        for epoch, order_of_epoch in enumerate(orders.swapaxes(0, 1), start=settings.first_epoch):  # (seeds, n)
            started = perf_counter()
            loss_sum, correct, step_seconds = np.zeros(seeds), np.zeros(seeds, int), 0.0
            for order, first, last, size in calls(order_of_epoch, batch_size, at_once):
                step_started = perf_counter()
                params, stats, losses, hits = jax.block_until_ready(
                    steps_of_all(training, params, stats, train_set, order, first, last, rate, size)
                )
                step_seconds += perf_counter() - step_started
                loss_sum += np.asarray(losses, float)  # (seeds,)
                correct += np.asarray(hits)  # (seeds,)
                done += (last - first) * size * seeds
                if settings.on_progress:
                    settings.on_progress(done)
            accuracies = evaluate_all(predicting, params, stats, test_set, EVALUATION_BATCH[device])  # (seeds,)
            n, seconds = orders.shape[2], perf_counter() - started
            for k, history in enumerate(histories):
                history.append(
                    {
                        "epoch": epoch,
                        "loss": float(loss_sum[k] / n),
                        "train_accuracy": float(correct[k] / n),
                        "test_accuracy": float(accuracies[k]),
                        "step_seconds": step_seconds / seeds,
                        "seconds": seconds / seeds,
                    }
                )
            if settings.on_epoch:
                settings.on_epoch([history[-1] for history in histories], saved(training, params, stats, seeds))
        trained = saved(training, params, stats, seeds)
    return [
        {
            "history": history,
            "weights": trained_weights,
            "device": device_name(device),
            "dtype": dtype,
            "compile_seconds": compile_seconds,
            "step": f"XLA loop over {seeds} seeds together",
        }
        for history, trained_weights in zip(histories, trained, strict=True)
    ]


def stacked(states: list[Any]) -> Any:
    """One state whose every array has a leading axis of seeds."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *states)


def saved(graph: Any, params: Any, stats: Any, seeds: int) -> list[Weights]:
    """The weights of every seed, as `LeNet.save_weights` gives them."""
    states = [jax.tree.map(lambda array, k=k: array[k], (params, stats)) for k in range(seeds)]
    return [nnx.merge(graph, *state).save_weights() for state in states]


def in_mode(net: LeNet, mode: str) -> Any:
    getattr(net, mode)()
    return nnx.graphdef(net)


def calls(orders: np.ndarray, batch_size: int, at_once: int) -> list[tuple[jax.Array, int, int, int]]:
    """`pieces` of an epoch with orders (seeds, n)."""
    alike = [pieces(order, batch_size, at_once) for order in orders]
    return [
        (jnp.stack([order for order, *_ in same]), *same[0][1:])  # (seeds, steps * size)
        for same in zip(*alike, strict=True)
    ]


@partial(jax.jit, static_argnums=(0, 8))
def steps_of_all(graph, params, stats, train_set, orders, first, last, learning_rate, batch_size):
    """`run_steps` of every seed: (params, stats, loss sums, correct), each with a leading axis of seeds."""

    def of_seed(params, stats, order):
        return run_steps(graph, params, stats, train_set, order, first, last, learning_rate, batch_size=batch_size)

    return jax.vmap(of_seed)(params, stats, orders)


def evaluate_all(graph, params, stats, test_set, batch_size: int) -> np.ndarray:
    """The accuracy of every seed, (seeds,)."""
    count = jax.vmap(partial(count_correct_in, graph, batch_size=batch_size), in_axes=(0, 0, None, None))
    return np.asarray(count(params, stats, *test_set)) / len(test_set[1])
