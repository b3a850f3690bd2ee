"""The process of one rank, as torchrun's launcher starts it: python -m harness.train.replicas.rank FOLDER LAUNCHER.

LAUNCHER is the process id of the launcher, without which a rank does not go on; it may have ended before this begins.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from harness.train.replicas import beats
from harness.train.replicas.folder import BEATS, RESULT, RunFolder
from impls.pytorch import replicated_training
from reference.conventions import TrainingSettings

COLLECTIVE_SECONDS = 25
"""How long a rank waits in a collective call before it gives up by itself."""


@record
def main() -> None:
    folder, launcher = RunFolder(Path(sys.argv[1])), int(sys.argv[2])
    if os.getppid() != launcher:
        sys.exit("the launcher has ended")
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    row = beats.beats_of(folder.path / BEATS, ranks)[rank]
    row[beats.PID] = os.getpid()
    beats.keep_beating(row, lambda: os.getppid() == launcher, lambda: os._exit(1))
    request, data, weights, orders = folder.read_request()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // ranks))
    if request.device == "cuda":
        torch.cuda.set_device(rank)
    timeout = timedelta(seconds=COLLECTIVE_SECONDS)
    with beats.waiting(row):
        dist.init_process_group("nccl" if request.device == "cuda" else "gloo", timeout=timeout)
    count_collective_calls(row)

    def on_progress(done: int) -> None:
        row[beats.DONE] = done

    def on_epoch(of_epoch: dict, weights: replicated_training.Weights) -> None:
        if rank == 0:
            folder.write(f"epoch-{of_epoch['epoch']}.npz", of_epoch, weights)

    result = replicated_training.train(
        data,
        weights,
        orders,
        TrainingSettings(
            request.learning_rate,
            request.batch_size,
            request.dtype,
            request.device,
            request.first_epoch,
            on_progress,
            on_epoch,
        ),
    )
    if rank == 0:
        weights = result.pop("weights")
        folder.write(RESULT, result, weights)
    dist.barrier()
    dist.destroy_process_group()


def count_collective_calls(row) -> None:
    """Those of batch norm and of the training: they call torch.distributed by these names."""
    dist.all_reduce = beats.counted(dist.all_reduce, row, lambda tensor, *_: tensor.nbytes)
    dist.all_gather = beats.counted(dist.all_gather, row, lambda _, tensor, *__: tensor.nbytes)


if __name__ == "__main__":
    main()
