"""`bnproof report`: everything, into one ledger, then the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.bench.throughput import ROUNDS
from harness.cases.catalogue import suite
from harness.check import CheckOptions, check
from harness.cli import show, show_runs
from harness.cli.commands import target_as_dict
from harness.cli.run_commands import run_lockstep, run_throughput, run_trainings
from harness.judge.pairs import compare_pairs
from harness.judge.report import TargetReport
from harness.record.environment import environment
from harness.record.ledger import Ledger, plain
from harness.targets.built_in import BUILT_IN, OWN, is_installed
from harness.train.accuracy import accuracy, equivalence
from harness.train.trainings import EPOCHS, PUBLISHED, installed

LOCKSTEP_STEPS = 235
"""One epoch: after a few steps only, a tensor that started at zero is too small to measure by."""


@dataclass(frozen=True)
class Extent:
    """How much of it: a quick look, or what is published."""

    quick: bool = False
    seeds: int = 1
    steps: int = LOCKSTEP_STEPS
    resume: Path | None = None
    """Where trainings, lockstep and throughput are kept, so that a report that was cut off goes on."""

    @property
    def epochs(self) -> int:
        return 1 if self.quick else EPOCHS

    @property
    def dtypes(self) -> tuple[str, ...]:
        return ("float64",) if self.steps <= LOCKSTEP_STEPS else ("float64", "float32")

    @property
    def rounds(self) -> int:
        return 3 if self.quick else ROUNDS


def make(out: Path, *, extent: Extent, device: str, data: Any, seed: int) -> tuple[Path, int]:
    """Write ledger.jsonl, index.html and report.md into `out`. Returns (the page, exit status).

    The status is 1 where one of our own implementations disagrees: the others' faults are findings, not failures.
    """
    ledger = Ledger(out / "ledger.jsonl", header(extent.quick, data, seed))
    reports = agreement(ledger, "quick" if extent.quick else "full", seed)
    for pair in compare_pairs(reports):
        ledger.add("pair", pair.as_dict())
    apart = whole_runs(ledger, extent, device, data, seed)
    ledger.close()

    from reports.render import render

    page = render(out / "ledger.jsonl", out)
    show.out.print(f"report: {page}", highlight=False, soft_wrap=True)
    wrong = [one.target for one in reports if one.target in OWN and one.verdict != "agree"]
    return page, 1 if wrong or apart else 0


def whole_runs(ledger: Ledger, extent: Extent, device: str, data: Any, seed: int) -> bool:
    """Lockstep, trainings, throughput. True where frameworks part ways in lockstep."""
    names, apart = installed(), False
    for dtype in extent.dtypes:
        what = f"lockstep-{dtype}-{extent.steps}-seed{seed}-{device}"
        records = kept(extent.resume, what, partial(run_lockstep, data, names, extent.steps, dtype, seed, device))
        for record in records:
            ledger.add("lockstep", record)
        apart |= not show_runs.lockstep(records)
    several = extent.seeds > 1
    how = {"resume": extent.resume, "population": several}
    runs = [
        run for name in names for run in run_trainings(name, data, extent.epochs, seed, extent.seeds, device, **how)
    ]
    for run in runs:
        ledger.add("training", run)
    if several:
        compared, tested = accuracy(runs), equivalence(runs)
        show_runs.accuracy(compared, tested)
        for record in compared:
            ledger.add("accuracy", record)
        for record in tested:
            ledger.add("equivalence", record)
    if is_installed("torch") and find_spec("torchvision"):
        what = f"throughput-{extent.rounds}-{device}"
        records = kept(extent.resume, what, lambda: run_throughput(data, extent.rounds, device)["records"])
        for record in records:
            ledger.add("throughput", record)
        show_runs.throughput(records)
    return apart


def kept(folder: Path | None, what: str, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The records of a measurement that this machine has made before with these versions, or else a new one, kept."""
    path = folder / f"{what}.json" if folder else None
    here = {name: value for name, value in environment().items() if name != "commit"}
    if path and path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["environment"] == here:
            return found["records"]
    records = make()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        unready = path.with_name(f"{path.name}.partial")
        unready.write_text(json.dumps(plain({"environment": here, "records": records})), encoding="utf-8")
        unready.replace(path)
    return records


def header(quick: bool, data: Any, seed: int) -> dict[str, Any]:
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "suite": "quick" if quick else "full",
        "data": data.source,
        "is_sample": data.is_sample,
        "environment": environment(),
        "own": list(OWN),
        "published": PUBLISHED,
    }


def agreement(ledger: Ledger, suite_name: str, seed: int) -> list[TargetReport]:
    """Every installed built-in target through the suite; those that are not installed are records as well."""
    wanted = [name for name, one in BUILT_IN.items() if not one.in_matrix_only]
    names = [name for name in wanted if is_installed(name)]
    for name in wanted:
        if name not in names:
            ledger.add("not_installed", {"target": name, "install": BUILT_IN[name].install})
    reports = []
    with show.bar("agreement", None) as update:
        for one in check(
            names,
            CheckOptions(
                suite(suite_name),
                seed,
                on_case=lambda name, case: update(description=f"{name}: {case}", advance=1),
            ),
        ):
            reports.append(one)
            ledger.add("target", target_as_dict(one))
            for judgement in one.judgements:
                ledger.add("comparison", {"target": one.target} | judgement.as_dict())
            show.out.print(f"{one.target}: {show.coloured(one.verdict)}")
    return reports
