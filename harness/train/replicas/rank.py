"""The process of one rank, as torchrun's launcher starts it: python -m harness.train.replicas.rank FOLDER LAUNCHER.

LAUNCHER is the process id of the launcher, without which a rank does not go on; it may have ended before this begins.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from harness.train.replicas import beats
from harness.train.replicas.own_part import OwnPart
from impls.pytorch import replicated_training

COLLECTIVE_SECONDS = 25
"""How long a rank waits in a collective call before it gives up by itself."""


@record
def main() -> None:
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    own = OwnPart(sys.argv[1], int(sys.argv[2]), rank, ranks)
    request, data, weights, orders = own.folder.read_request()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // ranks))
    if request.device == "cuda":
        torch.cuda.set_device(rank)
    timeout = timedelta(seconds=COLLECTIVE_SECONDS)
    with beats.waiting(own.row):
        dist.init_process_group("nccl" if request.device == "cuda" else "gloo", timeout=timeout)
    count_collective_calls(own.row)
    own.keep(replicated_training.train(data, weights, orders, own.settings(request)))
    dist.barrier()
    dist.destroy_process_group()


def count_collective_calls(row) -> None:
    """Those of batch norm and of the training: they call torch.distributed by these names."""
    dist.all_reduce = beats.counted(dist.all_reduce, row, lambda tensor, *_: tensor.nbytes)
    dist.all_gather = beats.counted(dist.all_gather, row, lambda _, tensor, *__: tensor.nbytes)


if __name__ == "__main__":
    main()
