"""A benchmark or training that is killed leaves nothing behind: no worker, nothing that a worker started, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.bench.throughput import worker
from harness.bench.worker import CORES, WorkerSpec
from harness.train.implementations import installed
from tests.targets.endless_training import IDS

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 30  # until a process has started or ended; on a busy machine both take seconds
BENCH = """
from harness.bench import throughput
from harness.bench.options import ThroughputOptions
from harness.train.fashion_mnist import load_sample
endless = throughput.Contestant("tests.targets.endless_training", ("numpy",))
contestants = dict.fromkeys((throughput.BASELINE, throughput.AGAIN), endless)
throughput.measure(load_sample(), ThroughputOptions(rounds=1), contestants)
"""
TRAINING = """
import sys
from dataclasses import replace
from pathlib import Path
from harness.train.fashion_mnist import load_sample
from harness.train.options import TrainingOptions
from harness.train.trainings import run
sample = load_sample()
few = replace(sample, train_images=sample.train_images[:512], train_labels=sample.train_labels[:512])
run(few, TrainingOptions(sys.argv[1], epochs=10_000, device="cpu", resume=Path(sys.argv[2])))
"""


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.05)


def survivors(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there after a while. A zombie has ended: in a container nobody may collect it."""
    deadline = time.monotonic() + SECONDS
    alive = processes
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    return alive


def end(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_benchmark_leaves_no_process_and_no_file(tmp_path, how):
    """In the middle of a round, with a worker that does not read its input and has a child of its own."""
    ids, temporary = tmp_path / "ids", tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {IDS: str(ids), "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", BENCH], cwd=ROOT, env=environment) as process:
        wait_for(ids, process)
        processes = psutil.Process(process.pid).children(recursive=True)
        assert set(map(int, ids.read_text().split())) <= {child.pid for child in processes}
        assert len(processes) >= 5  # two contestants, the child of one, the cores, the guard
        assert [path.suffix for path in temporary.iterdir()] == [".npz"]
        process.send_signal(how)
    left = survivors(processes)
    end(left)
    assert not left
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", installed())
def test_a_killed_training_leaves_no_process(tmp_path, name):
    with subprocess.Popen([sys.executable, "-c", TRAINING, name, str(tmp_path)], cwd=ROOT) as process:
        wait_for(tmp_path / f"{name}-seed0.npz", process)
        processes = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    left = survivors(processes)
    end(left)
    assert not left


def test_a_worker_ends_with_its_input(tmp_path):
    spec = WorkerSpec(CORES, "cpu", str(tmp_path / "none.npz"))
    with worker(spec) as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(SECONDS) == 0
