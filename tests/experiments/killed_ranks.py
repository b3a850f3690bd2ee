"""A rank of a data-parallel training is killed at a random moment: does the run end at once, by name, and go on equal?

python -m tests.experiments.killed_ranks [KILLS] writes KILLED_RANKS.md: of each kill, seconds until the run had ended,
what it said, processes and files that were left behind, and whether the resumed training ends with the weights of an
undisturbed one, to the bit. Every fourth rank is not killed but stopped (SIGSTOP), and hangs; every fifth gets its
signal before the first step.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.train.fashion_mnist import FashionMnist, load_sample
from harness.train.options import TrainingOptions, TrainingProgress
from harness.train.replicas.beats import DONE, PID
from harness.train.replicas.train import ReplicasFailedError, Run, is_running
from harness.train.trainings import run

PAGE = Path(__file__).with_name("KILLED_RANKS.md")
RANKS, EPOCHS, EXAMPLES = 2, 12, 768
LIMIT = 30.0


@dataclass(frozen=True)
class Kill:
    number: int
    signal: str
    rank: int
    after: int
    """Examples that had been trained on."""
    seconds: float
    """From the signal until `run` had returned and no process was left."""
    said: str
    named: bool
    left: int
    """Processes of the ranks that still run."""
    half: int
    """Checkpoints that are not whole."""
    epochs_kept: int
    equal: bool


class Killer(threading.Thread):
    """Sends a signal to a rank once so many examples have been trained on."""

    def __init__(self, rank: int, number: signal.Signals, after: int) -> None:
        super().__init__(daemon=True)
        self.rank, self.number, self.after = rank, number, after
        self.sent, self.done = 0.0, 0
        self.pids: list[int] = []

    def run(self) -> None:
        started = Started.seen.get(timeout=120)
        while started.beats[0, DONE] < self.after or not started.beats[:, PID].all():
            time.sleep(0.002)
        self.pids = [int(pid) for pid in started.beats[:, PID]]
        self.done = int(started.beats[0, DONE])
        self.sent = time.monotonic()
        os.kill(self.pids[self.rank], self.number)


class Started(Run):
    """The run that the command starts, seen by the killer."""

    import queue

    seen: queue.Queue[Run] = queue.Queue()

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        Started.seen.put(self)


def small() -> FashionMnist:
    data = load_sample()
    return replace(
        data,
        train_images=data.train_images[:EXAMPLES],
        train_labels=data.train_labels[:EXAMPLES],
        test_images=data.test_images[:64],
        test_labels=data.test_labels[:64],
    )


def options_in(folder: Path, seed: int) -> TrainingOptions:
    return TrainingOptions("torch", EPOCHS, seed, "cpu", "float64", resume=folder, replicas=RANKS)


def weights_of(folder: Path) -> dict[str, bytes]:
    (file,) = folder.glob("*.npz")
    with np.load(file) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files if name != "content"}


def epochs_in(folder: Path) -> int:
    import json

    for file in folder.glob("*.npz"):
        with np.load(file) as arrays:
            return len(json.loads(str(arrays["content"]))["history"])
    return 0


def kill(number: int, data: FashionMnist, undisturbed: dict[str, bytes], rng: np.random.Generator) -> Kill:
    sent = signal.SIGSTOP if number % 4 == 3 else signal.SIGKILL
    after = 0 if number % 5 == 2 else int(rng.integers(1, EXAMPLES * (EPOCHS - 1)))  # 0: before the first step
    killer = Killer(int(rng.integers(RANKS)), sent, after)
    with tempfile.TemporaryDirectory() as name:
        folder, said = Path(name), "nothing: it went on to the end"
        killer.start()
        try:
            run(data, options_in(folder, 0), TrainingProgress())
        except ReplicasFailedError as error:
            said = str(error)
        seconds = time.monotonic() - killer.sent
        left = sum(is_running(pid) for pid in killer.pids)
        half, kept = len([*folder.glob("*.partial")]), epochs_in(folder)
        run(data, options_in(folder, 0), TrainingProgress())
        Started.seen.get(timeout=10)
        equal = weights_of(folder) == undisturbed
    named = f"rank {killer.rank} " in said
    return Kill(number, sent.name, killer.rank, killer.done, seconds, said, named, left, half, kept, equal)


def page(kills: list[Kill]) -> str:
    slowest = max(kill.seconds for kill in kills)
    rows = [
        f"| {k.number} | {k.signal} | {k.rank} | {k.after} | {k.seconds:.1f} | {k.said.partition(';')[0]} | "
        f"{'yes' if k.named else 'NO'} | {k.left} | {k.half} | {k.epochs_kept} | {'yes' if k.equal else 'NO'} |"
        for k in kills
    ]
    good = sum(k.named and k.equal and not k.left and not k.half and k.seconds < LIMIT for k in kills)
    return "\n".join(
        [
            "# A rank is killed at a random moment",
            "",
            f"`python -m tests.experiments.killed_ranks {len(kills)}`: LeNet in float64 by {RANKS} processes of "
            f"PyTorch, {EPOCHS} epochs of {EXAMPLES} images. A rank gets a signal after a random number of examples; "
            "SIGSTOP makes it hang. Then the training is resumed from its folder, and its weights and statistics "
            "are compared, bit for bit, with those of a training that nobody disturbed.",
            "",
            f"{good} of {len(kills)} ended within {LIMIT:g} s, named the rank, left no process and no half checkpoint, "
            f"and ended with equal weights once resumed. The slowest took {slowest:.1f} s.",
            "",
            "| # | signal | rank | after examples | seconds until ended | what was said | named | processes left | "
            "half checkpoints | epochs kept | resumed to equal weights |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    from harness.train.replicas import train as train_module

    train_module.Run = Started  # type: ignore[misc]
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    data, rng = small(), np.random.default_rng(13)
    with tempfile.TemporaryDirectory() as name:
        run(data, options_in(Path(name), 0), TrainingProgress())
        Started.seen.get()
        undisturbed = weights_of(Path(name))
    kills = []
    for number in range(count):
        kills.append(kill(number, data, undisturbed, rng))
        print(kills[-1], flush=True)
        PAGE.write_text(page(kills))


if __name__ == "__main__":
    main()
