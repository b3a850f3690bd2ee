"""torchrun's launcher in a process of its own: python -m harness.train.replicas.agent FOLDER RANKS MODULE.

It is `torch.distributed.run` with another end: which rank failed first, and how, is left in the folder as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from harness.train.replicas.beats import LOST, beats_of
from harness.train.replicas.folder import BEATS, FAILURE

MONITOR_SECONDS = 0.2
LONGEST_MESSAGE = 300


def main() -> None:
    folder, ranks, module = sys.argv[1:]
    options = {
        "nproc-per-node": ranks,
        "rdzv-backend": "c10d",
        "rdzv-endpoint": "127.0.0.1:0",  # any free port
        "rdzv-id": Path(folder).name,
        "local-addr": "127.0.0.1",
        "max-restarts": 0,
        "monitor-interval": MONITOR_SECONDS,
        "log-dir": f"{folder}/logs",
        "redirects": 3,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    arguments += ["-m", module, folder, str(os.getpid())]
    config, command, command_arguments = config_from_args(parse_args(arguments))
    try:
        elastic_launch(config, command)(*command_arguments)
    except ChildFailedError as error:
        beats = beats_of(Path(folder) / BEATS, int(ranks))
        rank, failure = first_failure(error.failures, {rank for rank, row in enumerate(beats) if row[LOST]})
        content = {"rank": rank, "how": how(failure)}
        (Path(folder) / FAILURE).write_text(json.dumps(content))
        sys.exit(1)


def first_failure(failures: dict[int, ProcessFailure], lost: set[int]) -> tuple[int, ProcessFailure]:
    """The one that the others come of, as far as that can be told.

    lost: the ranks whose collective calls failed, as they do when another rank has gone. The launcher itself ends by
    SIGTERM what is left.
    """

    def place(item: tuple[int, ProcessFailure]) -> tuple[int, int]:
        rank, failure = item
        kind = 2 if failure.exitcode == -signal.SIGTERM else 0 if failure.exitcode < 0 else 3 if rank in lost else 1
        return kind, failure.timestamp

    return min(failures.items(), key=place)


def how(failure: ProcessFailure) -> str:
    if failure.exitcode < 0:
        return f"was ended by {failure.signal_name()}"
    description: Any = failure.message  # torch's own words, or what `record` has kept of the exception
    message = description.get("message", "") if isinstance(description, dict) else str(description)
    return f"ended with exit status {failure.exitcode}: {' '.join(message.split())[:LONGEST_MESSAGE]}"


if __name__ == "__main__":
    main()
