"""The work of `bnproof matrix`: every library through the full suite, each fault with a snippet.

Writes ledger.jsonl, index.html and matrix.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check_target
from harness.cli.output import AGREED, FAULTY, bar, coloured
from harness.cli.output import out as console
from harness.cli.places import Place, places
from harness.cli.snippets import heading, run_snippet, snippets
from harness.cli.verdicts import target_as_dict
from harness.judge.judgement import SEVERITY, Judgement, Kind
from harness.judge.pair import PAIR_SEVERITY, Pair
from harness.judge.pairs import compare_pairs
from harness.judge.report import TargetReport
from harness.observables import column
from harness.probe.probe import Probed, probe
from harness.record.environment import environment
from harness.record.kinds import CellRecord, OverallPair
from harness.record.ledger import Ledger
from harness.targets.built_in import BUILT_IN
from harness.targets.isolate import CASE_SECONDS, IsolatedTarget

AT_ONCE = 2
"""A target's process and the judging of another keep two cores busy."""


@dataclass(frozen=True)
class MatrixEntry:
    """A library: what it was judged to do, and what conventions it shows from outside."""

    report: TargetReport
    probed: Probed | None
    versions: dict[str, str]
    seconds: float


def make(out: Path, suite_name: str, seed: int, only_here: bool) -> int:
    """Write the matrix into `out`. Returns the exit status: 1 where an installed target cannot be loaded."""
    from reports.matrix import render

    ledger = Ledger(out / "ledger.jsonl", header(suite_name, seed))
    where = places([*BUILT_IN], only_here)
    for name, place in where.items():
        if place.reason:
            ledger.add("not_installed", {"target": name, "install": BUILT_IN[name].install, "reason": place.reason})
    to_judge = {name: place for name, place in where.items() if not place.reason}
    entries: list[MatrixEntry] = []
    with several_at_once() as pool, bar("matrix", len(to_judge)) as update:
        for entry in pool.map(lambda name: check_and_probe(name, to_judge[name], suite_name, seed), to_judge):
            entries.append(entry)
            add_entry(ledger, entry)
            update(advance=1)
            console.print(f"{entry.report.target}: {coloured(entry.report.verdict)} [dim]{entry.seconds:.0f} s[/]")
    for pair in pairs([entry.report for entry in entries]):
        ledger.add("pair", pair)
    with several_at_once() as pool:
        for finding in pool.map(lambda path: run_snippet(path, interpreter_for(path, to_judge)), snippets([*to_judge])):
            ledger.add("finding", finding)
            console.print(f"{finding.file}: {[*finding.output[-1:]] or 'not reproduced'}", markup=False)
    ledger.close()
    console.print(f"matrix: {render(out / 'ledger.jsonl', out)}", highlight=False, soft_wrap=True)
    return FAULTY if any(entry.report.load_error for entry in entries) else AGREED


def interpreter_for(snippet: Path, where: Mapping[str, Place]) -> str:
    """Of the environment of the first of its targets that has one."""
    return next(where[name].interpreter for name in heading(snippet).targets if name in where)


@contextlib.contextmanager
def several_at_once() -> Iterator[ThreadPoolExecutor]:
    """A pool that is not waited for where the work is broken off: a target may take its whole time limit."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def header(suite_name: str, seed: int) -> dict[str, Any]:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return {"made": made, "suite": suite_name, "seed": seed, "environment": environment()}


def check_and_probe(name: str, place: Place, suite_name: str, seed: int) -> MatrixEntry:
    """The suite under the declared conventions; then the conventions as they show from outside."""
    started = time.monotonic()
    with IsolatedTarget(name, CASE_SECONDS, python=place.python) as isolated:
        report = check_target(isolated, CheckOptions(suite(suite_name), seed))
        probed = None
        if not report.load_error and not isolated.given_up:
            probed = probe(isolated)
    return MatrixEntry(report, probed, place.versions, time.monotonic() - started)


def add_entry(ledger: Ledger, entry: MatrixEntry) -> None:
    """The target, then its cells."""
    name, probed = entry.report.target, entry.probed
    ledger.add(
        "target",
        target_as_dict(entry.report)
        | {
            "what": BUILT_IN[name].what,
            "versions": entry.versions,
            "probed": probed.conventions.as_dict() if probed else None,
            "unseen": probed.unseen if probed else [],
            "observed": probed.observed if probed else {},
            "seconds": round(entry.seconds, 1),
        },
    )
    for cell in cells(entry.report):
        ledger.add("cell", cell)


def cells(report: TargetReport) -> Iterator[CellRecord]:
    """The worst law judgement of each dtype, mode and observable."""
    worst: dict[tuple[str, str], Judgement] = {}
    for judgement in report.judgements:
        if judgement.kind is not Kind.law or judgement.op is None or judgement.op.startswith("restore"):
            continue
        key = judgement.dtype, column(judgement.observable or "y", judgement.op)
        if key not in worst or _badness(judgement) > _badness(worst[key]):
            worst[key] = judgement
    for (dtype, observable), judgement in worst.items():
        yield CellRecord(
            target=report.target,
            dtype=dtype,
            observable=observable,
            verdict=judgement.verdict,
            case=judgement.case,
            step=judgement.step,
            error=judgement.error,
            bound=judgement.bound,
            ratio=judgement.ratio,
            message=judgement.message,
        )


def _badness(judgement: Judgement) -> tuple[int, float]:
    return -SEVERITY.index(judgement.verdict), judgement.ratio or 0.0


def pairs(reports: Sequence[TargetReport]) -> list[OverallPair]:
    """One record a pair of targets: the same, different as declared, or different otherwise, and where."""
    overall: dict[tuple[str, str], OverallPair] = {}
    for pair in compare_pairs([*reports]):
        so_far = overall.get((pair.a, pair.b), OverallPair(pair.a, pair.b, PAIR_SEVERITY[-1], (), None, None))
        overall[pair.a, pair.b] = _joined(so_far, pair)
    return [*overall.values()]


def _joined(overall: OverallPair, pair: Pair) -> OverallPair:
    verdict = min(overall.verdict, pair.verdict, key=PAIR_SEVERITY.index)
    declared_by = tuple(sorted({*overall.declared_by, *pair.declared_by}))
    overall = replace(overall, verdict=verdict, declared_by=declared_by)
    if pair.ratio is None or (overall.ratio is not None and pair.ratio <= overall.ratio):
        return overall
    return replace(overall, ratio=pair.ratio, where=f"{pair.observable} in {pair.dtype}, {pair.case}")
