"""A training that is killed continues at its last epoch and ends bit for bit as one that was not."""

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

from harness.cli.run_commands import run_trainings
from harness.jobs.engines import IN_TURN, Workers
from harness.train.checkpoint import Checkpoint, CheckpointError, CheckpointFile
from harness.train.fashion_mnist import load_sample
from harness.train.implementations import installed, resolve_device
from harness.train.options import TrainingOptions, TrainingProgress
from harness.train.recipe import Recipe, recipe_of
from harness.train.results import EpochRecord
from harness.train.trainings import run

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, SEED, IMAGES = 4, 3, 300  # two batches an epoch, the second a short one
CHILD = """
import sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from test_resume import few, options
from harness.train.trainings import run
from harness.train.checkpoint import CheckpointFile
save = CheckpointFile.save
def slowly(*arguments):
    save(*arguments)
    print("saved", flush=True)
    time.sleep(0.2)  # time to be killed in
CheckpointFile.save = slowly
run(few(), options(sys.argv[1], Path(sys.argv[2])))
"""


def options(name: str, folder: Path | None) -> TrainingOptions:
    return TrainingOptions(name, EPOCHS, SEED, device="cpu", resume=folder)


def few():
    data = load_sample()
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return replace(data, **{name: getattr(data, name)[::7][:IMAGES] for name in names})


def saved(folder: Path, name: str) -> Checkpoint:
    recipe = recipe_of(options(name, folder), (SEED,), "cpu", few())
    checkpoint = CheckpointFile(folder / f"{name}-seed{SEED}.npz", recipe).load()
    assert checkpoint
    return checkpoint


@pytest.mark.parametrize("name", installed())
def test_killed_and_resumed_is_bit_for_bit_the_same(tmp_path, name):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(few(), options(name, whole))
    with subprocess.Popen([sys.executable, "-c", CHILD, name, str(cut)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        for _ in range(2):
            assert process.stdout.readline() == b"saved\n"
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 2 <= len(saved(cut, name).history) < EPOCHS
    epochs = []
    run(few(), options(name, cut), TrainingProgress(on_epoch=lambda record: epochs.append(record.epoch)))
    assert epochs == [3, 4]
    uninterrupted, resumed = saved(whole, name), saved(cut, name)
    for tensor, array in uninterrupted.weights[0].items():
        assert array.dtype == np.float32
        assert array.tobytes() == resumed.weights[0][tensor].tobytes(), tensor
    assert figures(uninterrupted) == figures(resumed)


def figures(checkpoint: Checkpoint) -> list[list[float]]:
    """What does not hang on the clock."""
    return [[r.epoch, r.loss, r.train_accuracy, r.test_accuracy] for records in checkpoint.history for r in records]


def test_seeds_together_are_those_apart_and_resume_bit_for_bit(tmp_path):
    """JAX trains seeds as one program: each ends where it would alone but for rounding, and resumed, all the same."""
    pytest.importorskip("flax")
    from harness.train.seeds import run_together

    seeds = (3, 5)
    whole = run_together(few(), options("jax", None), seeds)
    for together in whole:
        alone = run(few(), replace(options("jax", None), seed=together.seed))
        for record, record_alone in zip(together.history, alone.history, strict=True):
            assert record.loss == pytest.approx(record_alone.loss, rel=1e-4)
    assert whole[0].loss != whole[1].loss

    class CutOffError(Exception):
        pass

    def cut_off(record):
        if record.epoch == 2:
            raise CutOffError

    kept = options("jax", tmp_path)
    with pytest.raises(CutOffError):
        run_together(few(), kept, seeds, TrainingProgress(on_epoch=cut_off))
    epochs = []
    resumed = run_together(few(), kept, seeds, TrainingProgress(on_epoch=lambda record: epochs.append(record.epoch)))
    assert epochs == [3, 4]
    for continued, uninterrupted in zip(resumed, whole, strict=True):
        for figure in ("seed", "loss", "train_accuracy", "test_accuracy", "gamma", "beta"):
            assert getattr(continued, figure) == getattr(uninterrupted, figure), figure


@pytest.mark.parametrize("workers", [IN_TURN, Workers(2)], ids=["in turn", "side by side"])
def test_on_a_cpu_seeds_are_those_alone_unless_they_have_begun_together(tmp_path, workers):
    """They go one after the other there, which is faster; a checkpoint made together, as it once was, goes on so."""
    pytest.importorskip("flax")
    from harness.train.seeds import run_together

    alone = tuple(run(few(), replace(options("jax", None), seed=seed)) for seed in (SEED, SEED + 1))
    together = run_together(few(), options("jax", None), (SEED, SEED + 1))
    begun, new = tmp_path / "begun", tmp_path / "new"
    run_together(few(), replace(options("jax", begun), epochs=2), (SEED, SEED + 1))
    device = "auto" if has_no_gpu() else "cpu"
    asked = [replace(options("jax", folder), device=device) for folder in (None, begun, new)]
    unkept, goes_on, starts = map(without_the_clock, run_trainings(few(), asked, 2, workers))
    assert unkept == starts == without_the_clock(alone)
    assert goes_on == without_the_clock(together) != starts
    assert [path.name for path in begun.iterdir()] == [f"jax-seeds{SEED}-{SEED + 1}.npz"]
    assert {path.name for path in new.iterdir()} == {f"jax-seed{SEED + k}.npz" for k in range(2)}


def has_no_gpu() -> bool:
    return resolve_device("jax", "auto") == "cpu"


def without_the_clock(results):
    return [
        (r.seed, r.step, r.gamma, r.beta, [(e.epoch, e.loss, e.train_accuracy, e.test_accuracy) for e in r.history])
        for r in results
    ]


@pytest.mark.parametrize(
    ("implementation", "device", "seeds", "replicas", "expected"),
    [
        ("jax", "cuda", 2, 1, True),
        ("jax", "auto", 2, 1, True),  # whoever does it asks again
        ("jax", "cpu", 2, 1, False),
        ("jax", "cuda", 1, 1, False),
        ("jax", "cuda", 2, 2, False),
        ("torch", "cuda", 2, 1, False),
    ],
)
def test_which_seeds_are_one_program(implementation, device, seeds, replicas, expected):
    from harness.train.seeds import together

    of = TrainingOptions(implementation, device=device, replicas=replicas)
    assert together(of, tuple(range(seeds))) == expected


RECIPE = Recipe("numpy", version="2", seeds=(3,), device="cpu", dtype="float32", compiled=False, data="abc")
EPOCH = EpochRecord(1, loss=0.1, train_accuracy=0.2, test_accuracy=0.3, step_seconds=1.0, seconds=2.0)


@pytest.fixture
def written(tmp_path):
    """The file of a small checkpoint."""
    file = CheckpointFile(tmp_path / "numpy-seed3.npz", RECIPE)
    file.save(Checkpoint(((EPOCH,),), ({"a.weight": np.array([1 / 3], np.float32)},), "cpu", "float32"))
    return file


def test_a_checkpoint_round_trips_its_bits(written):
    checkpoint = written.load()
    assert checkpoint.weights[0]["a.weight"].tobytes() == np.array([1 / 3], np.float32).tobytes()
    assert checkpoint.history == ((EPOCH,),)
    assert checkpoint.population_test_accuracy is None
    assert CheckpointFile(written.path.with_name("absent.npz"), RECIPE).load() is None


def test_weights_of_a_dozen_seeds_come_back_in_their_order(tmp_path):
    seeds = tuple(range(12))
    file = CheckpointFile(tmp_path / "jax.npz", replace(RECIPE, seeds=seeds))
    weights = tuple({"a.weight": np.array([seed])} for seed in seeds)
    file.save(Checkpoint(((EPOCH,) * 12,), weights, "cpu", "float32", population_test_accuracy=(0.5,) * 12))
    checkpoint = file.load()
    assert [int(of_seed["a.weight"][0]) for of_seed in checkpoint.weights] == list(seeds)
    assert checkpoint.population_test_accuracy == (0.5,) * 12


def test_a_death_while_writing_leaves_the_last_whole_checkpoint(written, monkeypatch):
    def dies(file, **_):
        file.write(b"half a checkpoint")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", dies)
    with pytest.raises(KeyboardInterrupt):
        written.save(Checkpoint((), ({},), "cpu", "float32"))
    assert len(written.load().history) == 1


@pytest.mark.parametrize("content", [b"", b"PK not a zip", b"PK\x03\x04", "later zip"])
def test_another_recipe_or_a_damaged_file_is_refused(written, content):
    with pytest.raises(CheckpointError, match="its dtype is 'float32', this one's is 'float64'"):
        replace(written, recipe=replace(RECIPE, dtype="float64")).load()
    if content == "later zip":  # which Python has no decompressor for
        data = written.path.read_bytes()
        place = data.index(b"PK\x01\x02") + 10
        content = data[:place] + b"\x63" + data[place + 1 :]
    written.path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        written.load()


def test_a_training_goes_on_by_the_kernels_that_it_began_by(written, monkeypatch):
    """They round otherwise than the operations, and may be built while a training is interrupted."""
    pytest.importorskip("torch")
    from impls.pytorch import cpp_build

    began = recipe_of(options("torch", None), (SEED,), "cpu", few())
    monkeypatch.setattr(cpp_build, "is_built", lambda: not began.kernels)
    goes_on = recipe_of(options("torch", None), (SEED,), "cpu", few())
    file = replace(written, recipe=began)
    file.save(Checkpoint(((EPOCH,),), ({},), "cpu", "float32"))
    with pytest.raises(CheckpointError, match="is of another training: its kernels is"):
        replace(file, recipe=goes_on).load()


@pytest.mark.parametrize(("seeds", "replicas", "expected"), [((3,), 1, "halves"), ((3, 5), 1, ""), ((3,), 2, "")])
def test_a_training_of_jax_goes_on_by_halves_only_if_it_began_by_them(monkeypatch, seeds, replicas, expected):
    """They round otherwise than one device, and a training may be resumed where there are more or fewer cores."""
    pytest.importorskip("flax")
    from impls.jax_flax import halves

    of = replace(options("jax", None), replicas=replicas)
    for mesh, name in [("two devices", expected), (None, "")]:
        monkeypatch.setattr(halves, "two_devices", lambda _, mesh=mesh: mesh)
        assert recipe_of(of, seeds, "cpu", few()).kernels == name
        assert recipe_of(of, seeds, "cuda", few()).kernels == ""
