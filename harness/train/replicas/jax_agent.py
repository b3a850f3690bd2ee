"""A launcher of JAX's ranks, in a process of its own: python -m harness.train.replicas.jax_agent FOLDER RANKS MODULE.

JAX has no launcher: it asks each process for its rank and for the address at which rank 0 gathers them all. As with
torchrun's, which rank failed first, and how, is left in the folder as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness.train.replicas.beats import LOST, beats_of
from harness.train.replicas.folder import BEATS, FAILURE, RunFolder

POLL_SECONDS = 0.02
"""Short, so that a rank that died is seen before those that then lose it."""
LONGEST_MESSAGE = 300


def main() -> None:
    path, ranks, module = sys.argv[1:]
    folder, count = RunFolder(Path(path)), int(ranks)
    address = f"127.0.0.1:{free_port()}"
    processes = [start(folder, module, rank, count, address) for rank in range(count)]
    ended: dict[int, int] = {}
    while len(ended) < count:
        ended = {rank: code for rank, process in enumerate(processes) if (code := process.poll()) is not None}
        codes = {rank: code for rank, code in ended.items() if code}
        if codes:
            beats = beats_of(folder.path / BEATS, count)
            rank = first_failure(codes, {rank for rank, row in enumerate(beats) if row[LOST]})
            content = {"rank": rank, "how": how(codes[rank], last_line(log_of(folder, rank)))}
            folder.path.joinpath(FAILURE).write_text(json.dumps(content))
            for process in processes:
                process.kill()
            sys.exit(1)
        time.sleep(POLL_SECONDS)


def start(folder: RunFolder, module: str, rank: int, ranks: int, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", module, str(folder.path), str(os.getpid()), str(rank), str(ranks), address]
    with log_of(folder, rank).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)


def log_of(folder: RunFolder, rank: int) -> Path:
    return folder.path / f"rank-{rank}.log"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def first_failure(codes: dict[int, int], lost: set[int]) -> int:
    """The rank that the others' failures come of, as far as that can be told, by the exit codes of those that failed.

    lost: the ranks whose collective calls failed, as they do when another rank has gone. JAX itself aborts a process
    (SIGABRT) that has lost the others.
    """

    def place(rank: int) -> tuple[int, int]:
        code = codes[rank]
        kind = 3 if rank in lost else 2 if code == -signal.SIGABRT else 0 if code < 0 else 1
        return kind, rank

    return min(codes, key=place)


def how(code: int, last_words: str) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit status {code}: {last_words[:LONGEST_MESSAGE]}"


def last_line(log: Path) -> str:
    """What a traceback ends with."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split()) if lines else "it printed nothing"


if __name__ == "__main__":
    main()
