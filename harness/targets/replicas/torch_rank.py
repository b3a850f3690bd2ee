"""What each process of a replicated torch target does: keep the layers of its rank, and make the calls asked of it."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

COLLECTIVE_SECONDS = 20
"""How long a rank waits for the others in a collective call."""
PARAMETERS = ("dgamma", "dbeta")


@dataclass(frozen=True)
class Played:
    """What the ranks play, and where they meet."""

    load: Callable[[], Any]
    """Gives the factory of the layer as one process plays it. It can be pickled."""
    ranks: int
    device: str
    port: int
    """Of the store by which they find each other."""


def serve(rank: int, pipes: list[tuple[Connection, Connection]], played: Played) -> None:
    """The life of a rank: it ends when the process that asks does. pipes: by rank, (the asking end, the rank's)."""
    connection = pipes[rank][1]
    for asking, answering in pipes:
        asking.close()
        if answering is not connection:
            answering.close()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    layers = _Layers(rank, played)
    while True:
        try:
            request = pickle.loads(connection.recv_bytes())
        except EOFError:
            os._exit(0)
        connection.send_bytes(pickle.dumps(layers.answer(*request)))


class _Layers:
    """The layers of this rank: one for each session of the target."""

    def __init__(self, rank: int, played: Played) -> None:
        gpus = torch.cuda.device_count() if played.device == "cuda" else 0
        if gpus:
            torch.cuda.set_device(rank % gpus)
        dist.init_process_group(
            "nccl" if played.ranks <= gpus else "gloo",  # two ranks on one GPU: NCCL refuses
            store=dist.TCPStore("127.0.0.1", played.port, is_master=False),
            rank=rank,
            world_size=played.ranks,
            timeout=timedelta(seconds=COLLECTIVE_SECONDS),
        )
        self.factory = played.load()
        self.layers: dict[int, Any] = {}

    def answer(self, dropped: list[int], session: int, op: str, argument: Any) -> tuple[str, Any]:
        """("value", what came of it), or ("error", (the type's name, the message, whether it is unsupported))."""
        for number in dropped:
            self.layers.pop(number, None)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return "value", self._call(session, op, argument)
        except Exception as error:
            return "error", (type(error).__name__, str(error), isinstance(error, NotImplementedError))

    def _call(self, session: int, op: str, argument: Any) -> Any:
        if op == "build":
            self.layers[session] = self.factory(argument)
            return hasattr(self.layers[session], "stats") and self.layers[session].stats is not None
        layer = self.layers[session]
        if op in ("train", "eval"):
            return self._with_summed_gradients(getattr(layer, op)(*argument), layer.setup)
        if op == "train_no_grad":
            return layer.train_no_grad(*argument)
        if op == "load_state":
            return layer.load_state(pickle.loads(argument))
        return pickle.dumps(layer.state()) if op == "state" else layer.stats()

    def _with_summed_gradients(self, values: dict[str, np.ndarray], setup: Any) -> dict[str, np.ndarray]:
        """dgamma and dbeta as data parallelism would have them, of the sum over all shards; zeros count for none."""
        none = np.zeros_like(setup.gamma)
        own = torch.from_numpy(np.stack([values.get(name, none) for name in PARAMETERS]))  # (2, C)
        own = own.to(setup.device)
        dist.all_reduce(own)
        summed = dict(zip(PARAMETERS, own.cpu().numpy(), strict=True))
        return {name: summed.get(name, value) for name, value in values.items()}
