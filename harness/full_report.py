"""`bnproof report`: everything, into one ledger, then the page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import show
from harness.built_in import BUILT_IN, OWN, is_installed
from harness.catalogue import suite
from harness.check import TargetReport, check
from harness.commands import run_lockstep, run_training, target_as_dict
from harness.environment import environment
from harness.ledger import Ledger
from harness.pairs import compare_pairs
from harness.trainings import EPOCHS, PUBLISHED, installed

LOCKSTEP_STEPS = 235
"""One epoch: after a few steps only, a tensor that started at zero is too small to measure by."""


def make(out: Path, *, quick: bool, device: str, data: Any, seed: int) -> tuple[Path, int]:
    """Write ledger.jsonl, index.html and report.md into `out`. Returns (the page, exit status).

    The status is 1 where one of our own implementations disagrees: the others' faults are findings, not failures.
    """
    ledger = Ledger(out / "ledger.jsonl", header(quick, data, seed))
    reports = agreement(ledger, "quick" if quick else "full", seed)
    for pair in compare_pairs(reports):
        ledger.add("pair", pair.as_dict())
    names = installed()
    records = run_lockstep(data, names, LOCKSTEP_STEPS, "float64", seed)
    for record in records:
        ledger.add("lockstep", record)
    apart = not show.lockstep(records)
    for name in names:
        ledger.add("training", run_training(name, data, 1 if quick else EPOCHS, seed, device))
    ledger.close()

    from reports.render import render

    page = render(out / "ledger.jsonl", out)
    show.out.print(f"report: {page}", highlight=False, soft_wrap=True)
    wrong = [one.target for one in reports if one.target in OWN and one.verdict != "agree"]
    return page, 1 if wrong or apart else 0


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
            suite(suite_name),
            seed=seed,
            on_case=lambda name, case: update(description=f"{name}: {case}", advance=1),
        ):
            reports.append(one)
            ledger.add("target", target_as_dict(one))
            for judgement in one.judgements:
                ledger.add("comparison", {"target": one.target} | judgement.as_dict())
            show.out.print(f"{one.target}: {show.coloured(one.verdict)}")
    return reports
