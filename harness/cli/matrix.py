"""`bnproof matrix`: every installed library through the full suite, each finding with a snippet that shows it alone.

Writes ledger.jsonl, index.html and matrix.md. A finding is published only if its snippet, run here in a process of its
own, prints what it claims.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check_target
from harness.cli import show
from harness.cli.commands import target_as_dict
from harness.judge.judgement import SEVERITY, Judgement, Kind
from harness.judge.pair import PAIR_SEVERITY
from harness.judge.pairs import compare_pairs
from harness.judge.report import TargetReport
from harness.observables import column
from harness.place import ROOT
from harness.probe.probe import Probed, probe
from harness.record.environment import environment
from harness.record.ledger import Ledger
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.isolate import CASE_SECONDS, IsolatedTarget

SNIPPETS = ROOT / "impls" / "third_party" / "findings"
SNIPPET_SECONDS = 120
AT_ONCE = 2
"""A target's process and the judging of another keep two cores busy."""


@dataclass
class Checked:
    report: TargetReport
    probed: Probed | None
    seconds: float


def make(out: Path, suite_name: str, seed: int) -> int:
    """Write the matrix into `out`. Returns the exit status: 1 where an installed target cannot be loaded."""
    names = [name for name in BUILT_IN if is_installed(name)]
    ledger = Ledger(out / "ledger.jsonl", header(suite_name, seed))
    for name in BUILT_IN:
        if name not in names:
            ledger.add("not_installed", {"target": name, "install": BUILT_IN[name].install})
    done: list[Checked] = []
    with ThreadPoolExecutor(AT_ONCE) as pool, show.bar("matrix", len(names)) as update:
        for one in pool.map(lambda name: check_and_probe(name, suite_name, seed), names):
            done.append(one)
            record(ledger, one)
            update(advance=1)
            show.out.print(f"{one.report.target}: {show.coloured(one.report.verdict)} [dim]{one.seconds:.0f} s[/]")
    for pair in pairs([one.report for one in done]):
        ledger.add("pair", pair)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for finding in pool.map(run_snippet, snippets(names)):
            ledger.add("finding", finding)
            show.out.print(f"{finding['file']}: {finding['output'][-1:] or 'not reproduced'}", markup=False)
    ledger.close()

    from reports.matrix import render

    show.out.print(f"matrix: {render(out / 'ledger.jsonl', out)}", highlight=False, soft_wrap=True)
    return 1 if any(one.report.load_error for one in done) else 0


def header(suite_name: str, seed: int) -> dict[str, Any]:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return {"made": made, "suite": suite_name, "seed": seed, "environment": environment()}


def check_and_probe(name: str, suite_name: str, seed: int) -> Checked:
    """The suite under the declared conventions; then the conventions as they show from outside."""
    started = time.monotonic()
    with IsolatedTarget(name, CASE_SECONDS) as isolated:
        report = check_target(isolated, CheckOptions(suite(suite_name), seed))
        probed = None
        if not report.load_error and not isolated.given_up:
            probed = probe(isolated)
    return Checked(report, probed, time.monotonic() - started)


def record(ledger: Ledger, one: Checked) -> None:
    name = one.report.target
    told = target_as_dict(one.report) | {
        "what": BUILT_IN[name].what,
        "versions": versions(name),
        "probed": one.probed.conventions.as_dict() if one.probed else None,
        "unseen": one.probed.unseen if one.probed else [],
        "observed": one.probed.observed if one.probed else {},
        "seconds": round(one.seconds, 1),
    }
    ledger.add("target", told)
    for cell in cells(one.report):
        ledger.add("cell", {"target": name} | cell)


def versions(name: str) -> dict[str, str]:
    """What the target needs, by the names under which pip installs it."""
    known = importlib.metadata.packages_distributions()
    found = {}
    for module in BUILT_IN[name].needs.split():
        for distribution in known.get(module.partition(".")[0], [])[:1]:
            found[distribution] = importlib.metadata.version(distribution)
    return found


def cells(report: TargetReport) -> Iterator[dict[str, Any]]:
    """The worst law judgement of each dtype, mode and observable."""
    worst: dict[tuple[str, str], Any] = {}
    for one in report.judgements:
        if one.kind is not Kind.law or one.op is None or one.op == "restore":
            continue
        key = one.dtype, column(one.observable or "y", one.op)
        if key not in worst or _badness(one) > _badness(worst[key]):
            worst[key] = one
    for (dtype, observable), one in worst.items():
        kept = ("verdict", "case", "step", "error", "bound", "ratio", "message")
        yield {"dtype": dtype, "observable": observable} | {name: getattr(one, name) for name in kept}


def _badness(one: Judgement) -> tuple[int, float]:
    return -SEVERITY.index(one.verdict), one.ratio or 0.0


def pairs(reports: list[TargetReport]) -> list[dict[str, Any]]:
    """One record a pair of targets: the same, different as declared, or different otherwise, and where."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    order = PAIR_SEVERITY[::-1]
    for one in compare_pairs(reports):
        pair = found.setdefault(
            (one.a, one.b),
            {"a": one.a, "b": one.b, "verdict": order[0], "declared_by": [], "ratio": None, "where": None},
        )
        if order.index(one.verdict) > order.index(pair["verdict"]):
            pair["verdict"] = one.verdict
        pair["declared_by"] = sorted({*pair["declared_by"], *one.declared_by})
        if one.ratio is not None and (pair["ratio"] is None or one.ratio > pair["ratio"]):
            pair["ratio"], pair["where"] = one.ratio, f"{one.observable} in {one.dtype}, {one.case}"
    return list(found.values())


def snippets(names: list[str]) -> list[Path]:
    """The snippets about any of these targets."""
    return [path for path in sorted(SNIPPETS.glob("*.py")) if {*heading(path)["targets"].split(", ")} & {*names}]


def heading(path: Path) -> dict[str, str]:
    """targets, title, documented: the comment lines at the top of a snippet."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    return {name: text for name, text in pairs if name in ("targets", "title", "documented")}


def code(path: Path) -> str:
    """A snippet without its heading."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[len(heading(path)) :])


def run_snippet(path: Path) -> dict[str, Any]:
    """Run a snippet in an empty folder: it must end well and print a line that starts with FINDING."""
    told = heading(path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            ran = subprocess.run(
                [sys.executable, str(path)],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=SNIPPET_SECONDS,
                check=False,
            )
            output, status = ran.stdout.splitlines(), ran.returncode
        except subprocess.TimeoutExpired:
            output, status = [], -1
    shown = status == 0 and any(line.startswith("FINDING") for line in output)
    return {
        "file": path.name,
        "targets": told["targets"].split(", "),
        "title": told["title"],
        "documented": told["documented"],
        "code": code(path),
        "output": [line[:400] for line in output if shown],
        "reproduced": shown,
    }
