"""A data-parallel training: started, watched, and ended with every process of it, whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import place
from harness.errors import UsageError
from harness.targets import compilation_cache
from harness.targets.guard import GUARD, kill_group
from harness.train.fashion_mnist import FashionMnist
from harness.train.replicas import beats
from harness.train.replicas.folder import BEATS, FAILURE, RESULT, Request, RunFolder
from harness.train.replicas.watch import Watch
from reference.conventions import TrainingSettings
from reference.lenet import Weights

POLL_SECONDS = 0.1
END_SECONDS = 5.0
"""How long a killed process may take to be gone: the system gives its memory back first."""
MODULES = {
    "torch": ("harness.train.replicas.agent", "harness.train.replicas.rank"),
    "jax": ("harness.train.replicas.jax_agent", "harness.train.replicas.jax_rank"),
}
"""implementation -> the module of its launcher, and that of a rank"""
LAST_WORDS = 300


class ReplicasFailedError(UsageError):
    """A rank died, hung or raised. The message names it; what was kept is the last whole epoch."""


def train(
    data: FashionMnist,
    weights: Weights,
    orders: np.ndarray,
    settings: TrainingSettings,
    *,
    implementation: str,
    replicas: int,
) -> dict[str, Any]:
    """As `train` of impls.pytorch.training or impls.jax_flax.training, by `replicas` processes.

    implementation: "torch" or "jax". Raises ReplicasFailedError.
    """
    with tempfile.TemporaryDirectory(prefix="bnproof-replicas-") as name:
        folder = RunFolder(Path(name))
        request = Request(
            replicas,
            settings.learning_rate,
            settings.batch_size,
            settings.dtype,
            settings.device,
            settings.first_epoch,
            data.source,
        )
        folder.write_request(request, data, weights, orders)
        run = Run(folder, MODULES[implementation], replicas, settings)
        try:
            run.wait()
        finally:
            run.end()
        content, weights = folder.read(RESULT)
    return content | {"weights": weights}


class Run:
    """The launcher's process and those of the ranks."""

    def __init__(self, folder: RunFolder, modules: tuple[str, str], replicas: int, settings: TrainingSettings) -> None:
        self.folder, self.on_progress, self.on_epoch = folder, settings.on_progress, settings.on_epoch
        self.next_epoch = settings.first_epoch
        self.beats = beats.new_beats(folder.path / BEATS, replicas)
        self.watch = Watch(self.beats)
        self.guarded: set[int] = set()
        agent, rank = map(place.module, modules)
        command = [sys.executable, "-P", "-m", agent, str(folder.path), str(replicas), rank]
        environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": place.python_path()}
        environment |= compilation_cache.environment()
        with (folder.path / "agent.log").open("wb") as log:
            self.launcher = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        GUARD.watch("process", self.launcher.pid)

    def wait(self) -> None:
        """Until the training is done. Raises ReplicasFailedError as soon as a rank has failed."""
        while self.launcher.poll() is None:
            self._guard_ranks()
            if self.beats[:, beats.CALLS].all():
                self.folder.unlink_data()
            self._report()
            silent = self.watch.who_hangs()
            if silent:
                raise ReplicasFailedError(f"{silent}; the run was ended")
            time.sleep(POLL_SECONDS)
        self._report()
        if self.launcher.returncode != 0 or not self.folder.has(RESULT):
            raise ReplicasFailedError(self._why())

    def _guard_ranks(self) -> None:
        """Each rank leads a group of its own, which outlives the launcher's."""
        for pid in {int(pid) for pid in self.beats[:, beats.PID]} - self.guarded - {0}:
            self.guarded.add(pid)
            GUARD.watch("process", pid)

    def _report(self) -> None:
        if self.on_progress:
            self.on_progress(int(self.beats[0, beats.DONE]))
        while self.folder.has(name := f"epoch-{self.next_epoch}.npz"):
            record, weights = self.folder.read(name)
            (self.folder.path / name).unlink()
            self.next_epoch += 1
            if self.on_epoch:
                self.on_epoch(record, weights)

    def _why(self) -> str:
        if self.folder.has(FAILURE):
            failure = json.loads((self.folder.path / FAILURE).read_text())
            return f"rank {failure['rank']} {failure['how']}; the run was ended"
        printed = (self.folder.path / "agent.log").read_text(errors="replace").strip()
        return f"the launcher ended with exit status {self.launcher.returncode}: {printed[-LAST_WORDS:]}"

    def end(self) -> None:
        """Kill what is left of it, and see it end."""
        self._guard_ranks()
        for pid in (*self.guarded, self.launcher.pid):
            kill_group(pid)
        deadline = time.monotonic() + END_SECONDS
        while self.launcher.poll() is None or any(map(is_running, self.guarded)):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        for pid in (*self.guarded, self.launcher.pid):
            GUARD.forget("process", pid)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()  # without a /proc the signal alone tells
