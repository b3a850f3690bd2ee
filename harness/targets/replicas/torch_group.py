"""The processes of a replicated torch target: started once, asked many times, ended together."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as mp

from harness.targets.replicas.torch_rank import Played, serve

GRACE_SECONDS = 3.0
"""How long the other ranks have to answer once one of them has failed: they may wait for it for ever."""


class ReplicasEndedError(RuntimeError):
    """A rank's process ended, or did not answer."""


class TorchGroup:
    """The processes of all ranks. One that dies, or keeps silent after another's error, ends them all."""

    def __init__(self, load: Callable[[], Any], ranks: int, device: str) -> None:
        """On Linux's CPUs the ranks fork, which costs little once torch is imported; CUDA does not survive that."""
        self.ranks, self.is_alive = ranks, True
        self.dropped: list[int] = []
        """Sessions whose layers the ranks may forget."""
        self._store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # any free port
        pipes = [Pipe() for _ in range(ranks)]
        self._connections = [asking for asking, _ in pipes]
        arguments = (pipes, Played(load, ranks, device, self._store.port))
        how = "fork" if device == "cpu" and sys.platform == "linux" else "spawn"
        self._context: Any = mp.start_processes(serve, arguments, ranks, join=False, daemon=True, start_method=how)
        for _, answering in pipes:
            answering.close()

    def ask(self, session: int, op: str, arguments: list[Any]) -> list[Any]:
        """arguments: one a rank; so are the answers. Raises what a rank raised, or ReplicasEndedError."""
        dropped = self.dropped.copy()
        self.dropped.clear()
        for rank, (connection, argument) in enumerate(zip(self._connections, arguments, strict=True)):
            try:
                connection.send_bytes(pickle.dumps((dropped, session, op, argument)))
            except OSError:
                raise self._ended(rank) from None
        answers = self._answers()
        failed = {rank: content for rank, (outcome, content) in answers.items() if outcome == "error"}
        if len(answers) < self.ranks:
            self.end()
        for rank, (kind, message, unsupported) in failed.items():
            text = message if len(failed) == self.ranks else f"rank {rank}: {message}"
            raise NotImplementedError(text) if unsupported else type(kind, (RuntimeError,), {})(text)
        return [answers[rank][1] for rank in range(self.ranks)]

    def _answers(self) -> dict[int, tuple[str, Any]]:
        """By rank; after a failure of one, only those that came soon."""
        answers: dict[int, tuple[str, Any]] = {}
        deadline = float("inf")
        while len(answers) < self.ranks and time.monotonic() < deadline:
            waiting = [self._connections[rank] for rank in range(self.ranks) if rank not in answers]
            for connection in wait(waiting, None if deadline == float("inf") else GRACE_SECONDS):
                assert isinstance(connection, Connection)
                rank = self._connections.index(connection)
                try:
                    answers[rank] = pickle.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    raise self._ended(rank) from None
                if answers[rank][0] == "error":
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        return answers

    def _ended(self, rank: int) -> ReplicasEndedError:
        process = self._context.processes[rank]
        process.join(1)
        self.end()
        return ReplicasEndedError(f"the process of rank {rank} ended with exit status {process.exitcode}")

    def end(self) -> None:
        self.is_alive = False
        for process in self._context.processes:
            process.kill()
        for connection in self._connections:
            connection.close()
