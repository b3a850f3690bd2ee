"""The half of `bnproof report` that trains: lockstep, trainings, accuracy over seeds, throughput."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from harness.bench.options import ROUNDS, ThroughputOptions
from harness.bench.results import TrainingThroughput
from harness.bench.throughput import what_is_missing
from harness.cli import show_runs
from harness.cli.run_commands import run_lockstep, run_throughput, run_trainings
from harness.jobs.engines import IN_TURN, Workers
from harness.record.environment import environment
from harness.record.files import write_whole
from harness.record.ledger import Ledger, LedgerError, plain
from harness.record.read import converter
from harness.train.accuracy import accuracy, equivalence
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import installed
from harness.train.options import EPOCHS, LOCKSTEP_STEPS, LockstepOptions, TrainingOptions
from harness.train.results import LockstepRecord, TrainingResult

Record = TypeVar("Record")


@dataclass(frozen=True)
class Extent:
    """How much of it: a quick look, or what is published."""

    quick: bool = False
    seeds: int = 1
    steps: int = LOCKSTEP_STEPS
    resume: Path | None = None
    """Where trainings, lockstep and throughput are kept, so that an interrupted report can continue."""
    workers: Workers = IN_TURN
    """Who trains."""

    @property
    def epochs(self) -> int:
        return 1 if self.quick else EPOCHS

    @property
    def dtypes(self) -> tuple[str, ...]:
        return ("float64",) if self.steps <= LOCKSTEP_STEPS else ("float64", "float32")

    @property
    def rounds(self) -> int:
        return 3 if self.quick else ROUNDS


def add_runs(
    ledger: Ledger, extent: Extent, device: str, data: FashionMnist, seed: int, on_part: Callable[[], object]
) -> bool:
    """Everything that trains, into the ledger. True where frameworks part ways in lockstep.

    on_part: called whenever a part of it has been added.
    """
    apart = add_lockstep(ledger, extent, device, data, seed)
    on_part()
    results: list[TrainingResult] = []
    for of_one in run_trainings(data, runs_of(extent, device, seed), extent.seeds, extent.workers):
        add_all(ledger, "training", of_one)
        results += of_one
        on_part()
    if extent.seeds > 1:
        add_accuracy(ledger, results)
        on_part()
    why = what_is_missing()
    if why:
        show_runs.line(f"throughput is not measured: {why}")
    else:
        add_throughput(ledger, extent, device, data)
    return apart


def add_lockstep(ledger: Ledger, extent: Extent, device: str, data: FashionMnist, seed: int) -> bool:
    """True where frameworks part ways."""
    apart = False
    for dtype in extent.dtypes:
        options = LockstepOptions(installed(), extent.steps, dtype, seed, device)
        path = kept_path(extent.resume, f"lockstep-{dtype}-{extent.steps}-seed{seed}-{device}")
        records = kept(path, LockstepRecord, partial(run_lockstep, data, options))
        add_all(ledger, "lockstep", records)
        apart |= not show_runs.lockstep(records)
    return apart


def runs_of(extent: Extent, device: str, seed: int) -> list[TrainingOptions]:
    """A training of each framework that is installed."""
    several = extent.seeds > 1
    return [
        TrainingOptions(name, extent.epochs, seed, device, resume=extent.resume, population=several)
        for name in installed()
    ]


def add_accuracy(ledger: Ledger, results: Sequence[TrainingResult]) -> None:
    over_seeds, pairs = accuracy(results), equivalence(results)
    show_runs.accuracy(over_seeds, pairs)
    add_all(ledger, "accuracy", over_seeds)
    add_all(ledger, "equivalence", pairs)


def add_throughput(ledger: Ledger, extent: Extent, device: str, data: FashionMnist) -> None:
    options = ThroughputOptions(extent.rounds, device)
    path = kept_path(extent.resume, f"throughput-{extent.rounds}-{device}")
    records = kept(path, TrainingThroughput, lambda: run_throughput(data, options).records)
    add_all(ledger, "throughput", records)
    show_runs.throughput(records)


def add_all(ledger: Ledger, kind: str, records: Sequence[Any]) -> None:
    for record in records:
        ledger.add(kind, record)


def kept_path(folder: Path | None, measurement: str) -> Path | None:
    return folder / f"{measurement}.json" if folder else None


def kept(path: Path | None, kind: type[Record], measure: Callable[[], tuple[Record, ...]]) -> tuple[Record, ...]:
    """The records of a measurement that this machine has made before with these versions, or else a new one, kept."""
    here = {name: value for name, value in plain(environment()).items() if name != "commit"}
    if path and path.exists():
        known = records_in(path, kind, here)
        if known is not None:
            return known
    records = measure()
    if path:
        write_whole(path, json.dumps(plain({"environment": here, "records": records})))
    return records


def records_in(path: Path, kind: type[Record], environment: dict[str, Any]) -> tuple[Record, ...] | None:
    """The records of the file; None where they were made in another environment, or it is damaged."""
    convert = converter()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["environment"] != environment:
            return None
        return tuple(convert(record, kind, str(path)) for record in content["records"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, LedgerError):
        return None
