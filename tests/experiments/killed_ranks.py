"""A rank of a data-parallel training is killed at a random moment: does the run end at once, by name, and go on equal?

python -m tests.experiments.killed_ranks IMPLEMENTATION RANKS [KILLS] plays so many kills, keeps them in RESULTS, one a
line, and writes KILLED_RANKS.md of all that is there: of each kill, seconds until the run had ended, what it said,
processes and files that were left behind, and whether the resumed training ends with the weights of an undisturbed one,
to the bit. Every fourth rank is not killed but stopped (SIGSTOP), and hangs; every fifth gets its signal before the
first step. What is there is not played again.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from harness.train.fashion_mnist import FashionMnist, load_sample
from harness.train.options import TrainingOptions, TrainingProgress
from harness.train.replicas.beats import DONE, PID
from harness.train.replicas.train import ReplicasFailedError, Run, is_running
from harness.train.trainings import run

PAGE = Path(__file__).with_name("KILLED_RANKS.md")
RESULTS = Path(__file__).with_name("killed_ranks_results.jsonl")
EPOCHS, EXAMPLES = 12, 768
LIMIT = 30.0


@dataclass(frozen=True)
class Kill:
    implementation: str
    ranks: int
    number: int
    signal: str
    rank: int
    after: int
    """Examples that had been trained on."""
    seconds: float
    """From the signal until `run` had returned and no process was left."""
    message: str
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


def options_in(folder: Path, implementation: str, ranks: int) -> TrainingOptions:
    return TrainingOptions(implementation, EPOCHS, 0, "cpu", "float64", resume=folder, replicas=ranks)


def weights_of(folder: Path) -> dict[str, bytes]:
    (file,) = folder.glob("*.npz")
    with np.load(file) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files if name != "content"}


def epochs_in(folder: Path) -> int:
    for file in folder.glob("*.npz"):
        with np.load(file) as arrays:
            return len(json.loads(str(arrays["content"]))["history"])
    return 0


@dataclass(frozen=True)
class Training:
    """What is disturbed: the data, by whom it is trained, and the weights that it ends with when nobody disturbs it."""

    data: FashionMnist
    implementation: str
    ranks: int
    undisturbed: dict[str, bytes]


def kill(number: int, training: Training, rng: np.random.Generator) -> Kill:
    data, implementation, ranks = training.data, training.implementation, training.ranks
    sent = signal.SIGSTOP if number % 4 == 3 else signal.SIGKILL
    after = 0 if number % 5 == 2 else int(rng.integers(1, EXAMPLES * (EPOCHS - 1)))  # 0: before the first step
    killer = Killer(int(rng.integers(ranks)), sent, after)
    with tempfile.TemporaryDirectory() as name:
        folder, message = Path(name), "nothing: it went on to the end"
        killer.start()
        try:
            run(data, options_in(folder, implementation, ranks), TrainingProgress())
        except ReplicasFailedError as error:
            message = str(error)
        seconds = time.monotonic() - killer.sent
        left = sum(is_running(pid) for pid in killer.pids)
        half, kept = len([*folder.glob("*.partial")]), epochs_in(folder)
        run(data, options_in(folder, implementation, ranks), TrainingProgress())
        Started.seen.get(timeout=10)
        equal = weights_of(folder) == training.undisturbed
    named = f"rank {killer.rank} " in message
    of_run = (implementation, ranks, number)
    return Kill(*of_run, sent.name, killer.rank, killer.done, seconds, message, named, left, half, kept, equal)


# --- the page ---


def page(kills: list[Kill]) -> str:
    lines = [
        "# A rank is killed at a random moment",
        "",
        "`python -m tests.experiments.killed_ranks IMPLEMENTATION RANKS 20`: LeNet in float64 by so many processes of "
        f"PyTorch or JAX, {EPOCHS} epochs of {EXAMPLES} images. A rank gets a signal after a random number of "
        "examples; SIGSTOP makes it hang. Then the training is resumed from its folder, and its weights and statistics "
        "are compared, bit for bit, with those of a training that nobody disturbed.",
        "",
    ]
    for key in dict.fromkeys((kill.implementation, kill.ranks) for kill in kills):
        lines += section(*key, [kill for kill in kills if (kill.implementation, kill.ranks) == key])
    return "\n".join(lines)


def section(implementation: str, ranks: int, kills: list[Kill]) -> list[str]:
    slowest = max(kill.seconds for kill in kills)
    rows = [
        f"| {k.number} | {k.signal} | {k.rank} | {k.after} | {k.seconds:.1f} | {k.message.partition(';')[0]} | "
        f"{'yes' if k.named else 'NO'} | {k.left} | {k.half} | {k.epochs_kept} | {'yes' if k.equal else 'NO'} |"
        for k in kills
    ]
    good = sum(k.named and k.equal and not k.left and not k.half and k.seconds < LIMIT for k in kills)
    return [
        f"## {implementation}, {ranks} processes",
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


def results() -> list[Kill]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    kills = [Kill(**json.loads(line)) for line in lines]
    return sorted(kills, key=lambda kill: (kill.implementation != "torch", kill.ranks, kill.number))


def main() -> None:
    from harness.train.replicas import train as train_module

    train_module.Run = Started  # type: ignore[misc]
    implementation, ranks, *rest = sys.argv[1:]
    ranks, count = int(ranks), int(rest[0]) if rest else 20
    data = small()
    there = {kill.number for kill in results() if (kill.implementation, kill.ranks) == (implementation, ranks)}
    with tempfile.TemporaryDirectory() as name:
        run(data, options_in(Path(name), implementation, ranks), TrainingProgress())
        Started.seen.get()
        training = Training(data, implementation, ranks, weights_of(Path(name)))
    for number in sorted({*range(count)} - there):
        killed = kill(number, training, np.random.default_rng([13, ranks, number]))
        print(killed, flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(asdict(killed)) + "\n")
        PAGE.write_text(page(results()))


if __name__ == "__main__":
    main()
