"""A training that is killed goes on from its last epoch and ends bit for bit as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.train import checkpoint
from harness.train.fashion_mnist import load_sample
from harness.train.trainings import installed, recipe_of, run

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, SEED, IMAGES = 4, 3, 300  # two batches an epoch, the second a short one
CHILD = """
import sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from test_resume import EPOCHS, SEED, few
from harness.train.trainings import run
from harness.train import checkpoint
save = checkpoint.save
def slowly(*arguments):
    save(*arguments)
    print("saved", flush=True)
    time.sleep(0.2)  # time to be killed in
checkpoint.save = slowly
run(sys.argv[1], few(), epochs=EPOCHS, seed=SEED, device="cpu", resume=Path(sys.argv[2]))
"""


def few():
    data = load_sample()
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return replace(data, **{name: getattr(data, name)[::7][:IMAGES] for name in names})


def saved(folder: Path, name: str) -> checkpoint.Checkpoint:
    found = checkpoint.load(folder / f"{name}-seed{SEED}.npz", recipe_of(name, few(), SEED, "cpu", "float32", False))
    assert found
    return found


@pytest.mark.parametrize("name", installed())
def test_killed_and_resumed_is_bit_for_bit_the_same(tmp_path, name):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(name, few(), epochs=EPOCHS, seed=SEED, device="cpu", resume=whole)
    with subprocess.Popen([sys.executable, "-c", CHILD, name, str(cut)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        for _ in range(2):
            assert process.stdout.readline() == b"saved\n"
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 2 <= len(saved(cut, name).history) < EPOCHS
    epochs = []
    run(name, few(), epochs=EPOCHS, seed=SEED, device="cpu", resume=cut, on_epoch=epochs.append)
    assert [one["epoch"] for one in epochs] == [3, 4]
    one, other = saved(whole, name), saved(cut, name)
    for tensor, array in one.weights.items():
        assert array.dtype == np.float32
        assert array.tobytes() == other.weights[tensor].tobytes(), tensor
    figures = ("epoch", "loss", "train_accuracy", "test_accuracy")
    assert [[r[key] for key in figures] for r in one.history] == [[r[key] for key in figures] for r in other.history]


def test_seeds_together_are_those_apart_and_go_on_bit_for_bit(tmp_path):
    """JAX trains seeds as one program: each ends where it would alone but for rounding, and cut off, all the same."""
    pytest.importorskip("flax")
    from harness.train.seeds import run_together

    options = {"device": "cpu", "epochs": EPOCHS}
    whole = run_together("jax", few(), [3, 5], **options)
    for mine in whole:
        alone = run("jax", few(), seed=mine["seed"], **options)
        for one, other in zip(mine["history"], alone["history"], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    assert whole[0]["loss"] != whole[1]["loss"]

    class CutOffError(Exception):
        pass

    def cut_off(record):
        if record["epoch"] == 2:
            raise CutOffError

    with pytest.raises(CutOffError):
        run_together("jax", few(), [3, 5], resume=tmp_path, on_epoch=cut_off, **options)
    epochs = []
    again = run_together(
        "jax", few(), [3, 5], resume=tmp_path, on_epoch=lambda record: epochs.append(record["epoch"]), **options
    )
    assert epochs == [3, 4]
    figures = ("loss", "train_accuracy", "test_accuracy", "gamma", "beta")
    assert [[one[key] for key in figures] for one in again] == [[one[key] for key in figures] for one in whole]


@pytest.fixture
def written(tmp_path):
    """(path, recipe) of a small checkpoint."""
    path, recipe = tmp_path / "numpy-seed3.npz", {"seed": 3, "dtype": "float32"}
    found = checkpoint.Checkpoint(
        [{"epoch": 1, "loss": 0.1}], {"a.weight": np.array([1 / 3], np.float32)}, {"step": ""}
    )
    checkpoint.save(path, recipe, found)
    return path, recipe


def test_a_checkpoint_round_trips_its_bits(written):
    path, recipe = written
    found = checkpoint.load(path, recipe)
    assert found.weights["a.weight"].tobytes() == np.array([1 / 3], np.float32).tobytes()
    assert found.history == [{"epoch": 1, "loss": 0.1}]
    assert checkpoint.load(path.with_name("absent.npz"), recipe) is None


def test_a_death_while_writing_leaves_the_last_whole_checkpoint(written, monkeypatch):
    path, recipe = written

    def dies(file, **_):
        file.write(b"half a checkpoint")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, recipe, checkpoint.Checkpoint([], {}, {}))
    assert len(checkpoint.load(path, recipe).history) == 1


@pytest.mark.parametrize("content", [b"", b"PK not a zip", b"PK\x03\x04"])
def test_another_recipe_or_a_damaged_file_is_refused(written, content):
    path, recipe = written
    with pytest.raises(checkpoint.CheckpointError, match="its dtype is 'float32', this one's is 'float64'"):
        checkpoint.load(path, recipe | {"dtype": "float64"})
    path.write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match="is not a checkpoint"):
        checkpoint.load(path, recipe)
