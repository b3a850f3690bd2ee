"""What the process of a rank does in every framework: it is watched, trains as it is asked to, and keeps the result."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from harness.train.replicas import beats
from harness.train.replicas.folder import BEATS, RESULT, Request, RunFolder
from reference.conventions import TrainingSettings
from reference.lenet import Weights


class OwnPart:
    """Of rank `rank` among `ranks`, in the folder of their run. The process ends when its launcher does."""

    def __init__(self, folder: str, launcher: int, rank: int, ranks: int) -> None:
        if os.getppid() != launcher:
            sys.exit("the launcher has ended")
        self.folder, self.rank = RunFolder(Path(folder)), rank
        self.beats_of_all = beats.beats_of(self.folder.path / BEATS, ranks)
        self.row = self.beats_of_all[rank]
        self.row[beats.PID] = os.getpid()
        beats.keep_beating(self.row, lambda: os.getppid() == launcher, lambda: os._exit(1))

    def settings(self, request: Request) -> TrainingSettings:
        """How to train: each epoch is kept, by rank 0, and progress can be watched."""
        return TrainingSettings(
            request.learning_rate,
            request.batch_size,
            request.dtype,
            request.device,
            request.first_epoch,
            self._on_progress,
            self._on_epoch,
        )

    def keep(self, result: dict[str, Any]) -> None:
        weights = result.pop("weights")
        self._write(RESULT, result, weights)

    def _on_progress(self, done: int) -> None:
        self.row[beats.DONE] = done

    def _on_epoch(self, of_epoch: dict[str, Any], weights: Weights) -> None:
        self._write(f"epoch-{of_epoch['epoch']}.npz", of_epoch, weights)

    def _write(self, name: str, content: dict[str, Any], weights: Weights) -> None:
        """The ranks have the same: one writes."""
        if self.rank == 0:
            self.folder.write(name, content, weights)
