"""Every reader of files on changed files: what comes is a result or one line (UsageError), never another exception.

    python -m tests.experiments.fuzz_readers --seconds 60 --seed 1 [READER ...]
    python -m tests.experiments.fuzz_readers --files 1000000 --jobs 7

Right files are changed: bytes flipped, cut, doubled and put in, parts of JSON replaced. Files lie in memory where the
system has a folder for that.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import math
import multiprocessing
import random
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.cases.catalogue import BY_ID
from harness.cases.user_case import user_case
from harness.check import CheckOptions, check_target
from harness.errors import UsageError
from harness.judge.known import read_known
from harness.record.checked import comparison_as_dict, target_as_dict
from harness.record.environment import environment
from harness.record.ledger import SCHEMA, plain
from harness.record.read import read
from harness.record.results import results_in
from harness.targets.in_process import InProcessTarget
from harness.targets.remember import Answers
from harness.train.checkpoint import CheckpointFile
from harness.train.recipe import Recipe
from tests import ledger_sample as sample
from tests.experiments.fuzz_wire import BYTES, mutated
from tests.targets.mutants.right import D2l

IN_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Reader:
    read: Callable[[Path], object]
    good: bytes
    """A file that it reads."""
    is_json: bool = False
    """One JSON document a line."""


def ledger() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        records = sample.records()
        records["throughput"] = [sample.throughput("torch"), sample.layer()]
        records["comparison"] = records["comparison"][:3]
        return sample.write(Path(folder), records).read_bytes()


def check_json() -> bytes:
    report = check_target(InProcessTarget(D2l), CheckOptions((BY_ID["rank2"],)))
    cases = [comparison_as_dict(report, judgement) for judgement in report.judgements[:4]]
    target = target_as_dict(report) | {"cases": cases}
    return json.dumps(plain({"schema": SCHEMA, "environment": environment(), "targets": [target]})).encode()


def plays(path: Path) -> object:
    """Answers that were kept, all of them given to the script that they were kept of."""
    answers = Answers(path, HEADER)
    try:
        line = answers.take(KEY)
        return line and answers.answer_from(line, SCRIPT)
    finally:
        answers.close()


KEY = "k"
HEADER = {"format": "bnproof plays/1", "description": {}, "sources": ""}
SCRIPT = BY_ID["rank2"].make("float32", 0, 0.1)


def kept_plays() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plays.jsonl")
        answers = Answers(path, HEADER)
        answers.add(KEY, InProcessTarget(D2l).play(SCRIPT, 1), {"prints": "it prints"})
        answers.close()
        return path.read_bytes()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.arange(12.0).reshape(4, 3), gamma=np.ones(3))
    return stream.getvalue()


RECIPE = Recipe("numpy", version="2", seeds=(3,), device="cpu", dtype="float32", compiled=False, data="abc")


def checkpoint(path: Path) -> object:
    return CheckpointFile(path, RECIPE).load()


def readers() -> dict[str, Reader]:
    from tests.test_resume import EPOCH, Checkpoint

    with tempfile.TemporaryDirectory() as folder:
        file = CheckpointFile(Path(folder, "c.npz"), RECIPE)
        file.save(Checkpoint(((EPOCH,),), ({"a.weight": np.array([1 / 3], np.float32)},), "cpu", "float32"))
        saved = file.path.read_bytes()
    whole = ledger()
    return {
        "ledger": Reader(read, whole, is_json=True),
        "ledger, compressed": Reader(read, gzip.compress(whole, mtime=0)),
        "check --json": Reader(results_in, check_json(), is_json=True),
        "answers kept": Reader(plays, kept_plays(), is_json=True),
        "--input": Reader(user_case, npz()),
        "--known": Reader(read_known, b"# known\nrank4: it is so\nrank2: yes\n"),
        "checkpoint": Reader(checkpoint, saved),
    }


def changed(rng: random.Random, reader: Reader) -> bytes:
    if reader.is_json and rng.random() < 0.5:
        lines = reader.good.splitlines(keepends=True)
        number = rng.randrange(len(lines))
        lines[number] = mutated(rng, json.loads(lines[number])) + b"\n"
        return b"".join(lines)
    data = bytearray(reader.good)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 8, 100))
        match rng.randrange(5):
            case 0 if place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = data[place : place + length]
            case 3:
                data[place:place] = rng.choice(BYTES)
            case _:
                data[place : place + length] = rng.randbytes(length)
    return bytes(data)


@dataclass(frozen=True)
class Limits:
    """Of one reader: whichever is reached first."""

    seconds: float = math.inf
    files: float = math.inf


def fuzz(name: str, reader: Reader, limits: Limits, seed: int, folder: Path) -> Counter[str]:
    """How many files were read, refused, or ended in something else, which is printed."""
    rng, outcomes, path = random.Random(f"{name}{seed}"), Counter[str](), folder / "file"
    ends = time.monotonic() + limits.seconds
    path.write_bytes(reader.good)
    assert reader.read(path) is not None
    while time.monotonic() < ends and outcomes.total() < limits.files:
        data = changed(rng, reader)
        path.write_bytes(data)
        try:
            reader.read(path)
            outcomes["read"] += 1
        except UsageError as error:
            outcomes["refused in one line" if "\n" not in str(error) else "refused in several lines"] += 1
        except Exception:
            outcomes["an exception"] += 1
            if outcomes["an exception"] <= 3:
                Path(tempfile.gettempdir(), f"fuzzed-{seed}-{outcomes['an exception']}").write_bytes(data)
                traceback.print_exc()
    return outcomes


def fuzzed(name: str, limits: Limits, seed: int) -> str:
    """A line of the table, from a process of its own."""
    warnings.simplefilter("error")
    started = time.process_time()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        outcomes = fuzz(name, readers()[name], limits, seed, Path(folder))
    return f"| {name} | {outcomes.total():,} | {dict(outcomes)} | {time.process_time() - started:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="READER")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each reader; 60 where nothing is said")
    parser.add_argument("--files", type=float, default=math.inf, help="of each reader")
    parser.add_argument("--jobs", type=int, default=1, help="readers at a time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    limits = Limits(options.seconds, options.files)
    if limits == Limits():
        limits = Limits(seconds=60)
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        lines = [pool.submit(fuzzed, name, limits, options.seed) for name in options.names or readers()]
        for line in as_completed(lines):
            print(line.result(), flush=True)


if __name__ == "__main__":
    main()
