"""JAX's training on two cores: half of each batch by each of two devices gives what one device does."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from reference.conventions import TrainingSettings
from reference.lenet import initial_weights
from reference.training import train as reference_train

pytest.importorskip("jax")
pytest.importorskip("flax.nnx")

TRAINING = """
import sys
from impls.jax_flax import halves
halves.cores = lambda: 2  # on any machine
from reference.conventions import TrainingSettings
from reference.lenet import initial_weights
from impls.jax_flax import training
from tests.test_jax_halves import ORDERS, SETTINGS, data
import numpy as np
training.STEPS_IN_A_CALL["cpu"] = 3
returned = training.train(data(), initial_weights(0), ORDERS, TrainingSettings(**SETTINGS))
history = [[record[name] for name in ("loss", "train_accuracy", "test_accuracy")] for record in returned["history"]]
np.savez(sys.argv[1], step=returned["step"], history=history, **returned["weights"])
"""
DEVICES = """
import sys
from impls.jax_flax import halves
halves.cores = lambda: int(sys.argv[1])
halves.prepare()
print(*[halves.two_devices(size) is not None for size in (60, 61)])
"""
EXAMPLES = 251  # batches of 60, whose halves are two devices', and one of 11, which is one device's
ORDERS = np.stack([np.random.default_rng(epoch).permutation(EXAMPLES) for epoch in range(2)])
SETTINGS = {"learning_rate": 0.5, "batch_size": 60, "dtype": "float64"}


def data():
    from tests.test_impl_jax_training import random_data

    return random_data(EXAMPLES)


def run(program, argument, **environment):
    """In a process of its own, since JAX asks only once how many devices there are."""
    return subprocess.run(
        [sys.executable, "-c", program, argument],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"JAX_PLATFORMS": "cpu", **environment},
    ).stdout


def test_halves_train_as_the_reference_does(tmp_path):
    run(TRAINING, str(tmp_path / "returned.npz"))
    with np.load(tmp_path / "returned.npz") as arrays:
        got = dict(arrays)
    assert got.pop("step") == "XLA loop, half a batch a core"
    history = got.pop("history")
    want = reference_train(data(), initial_weights(0), ORDERS, TrainingSettings(**SETTINGS))
    assert got.keys() == want["weights"].keys()
    for name, value in want["weights"].items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-11, err_msg=name)
    for (loss, train_accuracy, test_accuracy), record in zip(history, want["history"], strict=True):
        assert loss == pytest.approx(record["loss"], rel=1e-12)
        assert (train_accuracy, test_accuracy) == (record["train_accuracy"], record["test_accuracy"])


TWO_OF_XLA = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@pytest.mark.parametrize(
    ("cores", "environment", "even"),
    [(2, {}, True), (4, {}, False), (2, {"JAX_NUM_CPU_DEVICES": "1"}, False), (2, TWO_OF_XLA, True)],
)
def test_there_are_two_devices_on_two_cores_unless_somebody_has_said_how_many(cores, environment, even):
    assert run(DEVICES, str(cores), **environment).split() == [str(even), "False"]
