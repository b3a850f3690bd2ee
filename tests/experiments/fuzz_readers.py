"""Every reader of files on changed files: what comes is a result or one line (UsageError), never another exception.

    python -m tests.experiments.fuzz_readers --seconds 60 --seed 1 [READER ...]
    python -m tests.experiments.fuzz_readers --files 1000000 --jobs 7

Right files are changed: bytes flipped, cut, doubled and put in, parts of JSON replaced. Files lie in memory where the
system has a folder for that.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.experiments.fuzz_wire import BYTES, mutated
from tests.experiments.outside_readers import Reader, readers

IN_MEMORY = Path("/dev/shm")


def changed(rng: random.Random, reader: Reader) -> bytes:
    if reader.repack and rng.random() < 0.7:
        return reader.repack(reader.good, lambda inside: changed_bytes(rng, inside, reader.is_json), rng)
    return changed_bytes(rng, reader.good, reader.is_json and not reader.repack)


def changed_bytes(rng: random.Random, good: bytes, is_json: bool) -> bytes:
    if is_json and rng.random() < 0.5:
        lines = good.splitlines(keepends=True)
        number = rng.randrange(len(lines))
        lines[number] = mutated(rng, json.loads(lines[number])) + b"\n"
        return b"".join(lines)
    data = bytearray(good)
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


def fuzz(name: str, reader: Reader, limits: Limits, seed: int, folder: Path) -> tuple[Counter[str], int]:
    """How many files were read, refused, or ended in something else, which is printed; how many were different ones."""
    rng, outcomes, path = random.Random(f"{name}{seed}"), Counter[str](), folder / "file"
    different = set()
    ends = time.monotonic() + limits.seconds
    path.write_bytes(reader.good)
    assert reader.read(path) is not None
    while time.monotonic() < ends and outcomes.total() < limits.files:
        data = changed(rng, reader)
        different.add(hash(data))
        path.write_bytes(data)
        try:
            reader.read(path)
            outcomes["read"] += 1
        except reader.refusals as error:
            outcomes["refused in one line" if "\n" not in str(error) else "refused in several lines"] += 1
        except Exception:
            outcomes["an exception"] += 1
            if outcomes["an exception"] <= 3:
                Path(tempfile.gettempdir(), f"fuzzed-{seed}-{outcomes['an exception']}").write_bytes(data)
                traceback.print_exc()
    return outcomes, len(different)


def fuzzed(name: str, limits: Limits, seed: int) -> str:
    """A line of the table, from a process of its own."""
    warnings.simplefilter("error")
    started = time.process_time()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        outcomes, different = fuzz(name, readers()[name], limits, seed, Path(folder))
    took = time.process_time() - started
    return f"| {name} | {outcomes.total():,} | {different:,} different | {dict(outcomes)} | {took:.0f} s |"


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
