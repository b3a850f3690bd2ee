"""`bnproof report`: everything, into one ledger, then the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.bench.suite import timing
from harness.cases.catalogue import suite
from harness.check import CheckOptions, check
from harness.cli.ledgers import open_ledger
from harness.cli.output import bar, coloured, err, say
from harness.cli.output import out as console
from harness.cli.report_runs import Extent, add_runs
from harness.judge.judgement import Verdict
from harness.judge.pairs import compare_pairs
from harness.judge.report import TargetReport
from harness.record.checked import comparison_as_dict, target_as_dict
from harness.record.compressed import write_compressed
from harness.record.environment import environment
from harness.record.ledger import Ledger
from harness.record.read import can_make_pages
from harness.stopwatch import timed
from harness.targets.built_in import BUILT_IN, OWN, is_installed
from harness.targets.device import CUDA, on_device, split_device
from harness.targets.remember import forget
from harness.targets.two_processes import processes_here
from harness.train.fashion_mnist import FashionMnist
from harness.train.implementations import installed, resolve_device
from harness.train.published import PUBLISHED


def make(out: Path, *, extent: Extent, device: str, data: FashionMnist, seed: int) -> tuple[Path, int]:
    """Write ledger.jsonl, ledger.jsonl.gz, index.html and report.md into `out`. Returns (the page, exit status);
    the ledger in place of a page that cannot be made here.

    The status is 1 where one of our own implementations disagrees: the others' faults are findings, not failures.
    """
    on_gpu = targets_on_gpu(device)
    own = [name for name in (*OWN, *on_gpu) if split_device(name)[0] in OWN]
    ledger = open_ledger(out / "ledger.jsonl", header(extent.quick, data, seed, own), extent.resume)
    show_so_far = partial(make_page, ledger.path, out, finished=False) if can_make_pages() else no_page_yet(ledger.path)
    show_so_far()
    reports = agreement(ledger, extent, seed, show_so_far, on_gpu)
    for pair in compare_pairs(reports):
        ledger.add("pair", pair)
    show_so_far()
    apart = add_runs(ledger, extent, device, data, seed, show_so_far)
    ledger.close()
    write_compressed(ledger.path)
    if extent.resume:
        forget(extent.resume, [report.target for report in reports])
    page = make_page(ledger.path, out) if can_make_pages() else ledger.path
    say(f"report: {page}")
    wrong = [report.target for report in reports if report.target in own and report.verdict != Verdict.agree]
    return page, 1 if wrong or apart else 0


def make_page(ledger: Path, out: Path, finished: bool = True) -> Path:
    from harness.cli.companion import of_records
    from reports.render import render

    return render(ledger, out, finished, of_records)


def no_page_yet(ledger: Path) -> Callable[[], None]:
    """Without what pages are made with: a word about it now, and nothing after each part."""
    err.print(f"no page: pip install 'bnproof[report]', then bnproof render {ledger}", style="bold red", markup=False)
    return lambda: None


def header(quick: bool, data: FashionMnist, seed: int, own: Sequence[str]) -> dict[str, Any]:
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "suite": "quick" if quick else "full",
        "data": data.source,
        "is_sample": data.is_sample,
        "environment": environment(),
        "own": [*own],
        "published": PUBLISHED,
    }


def targets_on_gpu(device: str) -> list[str]:
    """The names, with "@cuda", of the targets that are checked there as well: the torch and JAX ones where a GPU is
    seen. device: "auto", "cpu" or "cuda". Raises DeviceError where "cuda" is asked for and not seen.
    """
    frameworks = {name for name in installed(("torch", "jax")) if resolve_device(name, device) == CUDA}
    names = [name for name, built_in in BUILT_IN.items() if not built_in.in_matrix_only and is_installed(name)]
    return [on_device(name, CUDA) for name in names if framework_of(name) in frameworks]


def framework_of(name: str) -> str | None:
    """Which of torch and JAX a built-in target computes with."""
    needs = BUILT_IN[name].needs.split()
    return "torch" if "torch" in needs else "jax" if {"jax", "flax"} & {*needs} else None


def agreement(
    ledger: Ledger, extent: Extent, seed: int, on_target: Callable[[], object], on_gpu: Sequence[str] = ()
) -> list[TargetReport]:
    """Every installed built-in target through the suite on the CPU, then those of `on_gpu`.

    Those that are not installed are records as well.
    """
    wanted = [name for name, built_in in BUILT_IN.items() if not built_in.in_matrix_only]
    names = [name for name in wanted if is_installed(name)] + [*on_gpu]
    for name in wanted:
        if name not in names:
            ledger.add("not_installed", {"target": name, "install": BUILT_IN[name].install})
    reports: list[TargetReport] = []
    suite_name = "quick" if extent.quick else "full"
    with bar("agreement", None) as update:
        options = CheckOptions(
            suite(suite_name),
            seed,
            resume=extent.resume,
            processes=processes_here(),
            again=True,
            on_plan=lambda name, total: update(description=f"agreement: {name}", total=total),
            on_case=lambda name, case: update(description=f"agreement: {name}: {case}", advance=1),
        )
        checked = check(names, options)
        while True:
            started = perf_counter()
            with timed() as parts:
                report = next(checked, None)
            if report is None:
                break
            seconds = perf_counter() - started
            reports.append(report)
            ledger.add("target", target_as_dict(report))
            for judgement in report.judgements:
                ledger.add("comparison", {"target": report.target} | comparison_as_dict(report, judgement))
            if extent.resume is None:  # else part of the work may have been done before
                ledger.add("throughput", timing(report.target, suite_name, [seconds], len(report.judgements), [parts]))
            console.print(f"{report.target}: {coloured(report.verdict)}")
            on_target()
    return reports
