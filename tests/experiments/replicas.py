"""Every combination of replicas, shards and dtype: is the batch dealt out what it is for one layer, within the bound?

python -m tests.experiments.replicas [TARGET...] [--python ENV] plays the cases below on these targets (all of `ROWS`
but Keras', if none is named; ENV is an environment that has what they need) over each number of replicas and each way
to deal a batch out, keeps what came of it in RESULTS, one a line, and writes the page of all that is there. What is
there is not played again: delete RESULTS to begin anew.

--lockstep FILE... takes trainings in lockstep into the page: what `bnproof lockstep --replicas R --json FILE` wrote.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import place
from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.report import TargetReport
from harness.targets.isolate import IsolatedTarget
from harness.targets.launch import interpreter_of
from harness.targets.replicas.names import Replicas, join_replicas
from harness.targets.replicas.shards import SHARDS

RESULTS = Path(__file__).with_name("replicas_results.jsonl")
LOCKSTEP = Path(__file__).with_name("replicas_lockstep.json")
PAGE = place.ROOT / "reports" / "published" / "replicas.md"
CASES = ("rank2", "rank4", "odd_batch", "samples_apart", "changing_batch", "large_mean_1e4", "sixteen_bits")
"""Four samples, so that eight replicas have fewer and four have one value each at rank 2; seven; eight with means far
apart; sizes that change; a large mean; 16 bits."""
EVERY = [Replicas(count, shards) for count in (1, 2, 3, 4, 8) for shards in (SHARDS if count > 1 else SHARDS[:1])]
SOME = [Replicas(2), Replicas(3, "uneven")]
ROWS = {
    "torch-sync": EVERY,
    "jax-sync": EVERY,
    "torch-native-sync": SOME,
    "torch-ddp": SOME,
    "flax-sync": SOME,
    "flax-sync-two-passes": SOME,
    "flax-shard-map": SOME,
    "keras-sync": SOME,
}


@dataclass(frozen=True)
class Row:
    target: str
    replicas: int
    shards: str
    verdict: str
    agree: int
    counts: dict[str, int]
    worst: float
    """The largest error/bound of what agrees."""
    findings: dict[str, list[str]]
    """Diagnosis -> the cases that show it."""
    versions: dict[str, str]


def row_of(target: str, replicas: Replicas, report: TargetReport) -> Row:
    counts = Counter(judgement.verdict.value for judgement in report.judgements)
    ratios = [j.ratio for j in report.judgements if j.ratio is not None and j.verdict.value == "agree"]
    return Row(
        target,
        replicas.count,
        replicas.shards,
        report.verdict,
        counts["agree"],
        dict(counts),
        max(ratios, default=0.0),
        {finding.id: list(finding.cases) for finding in report.diagnosis},
        report.description.versions if report.description else {},
    )


def play(target: str, replicas: Replicas, python: str | None) -> Row:
    options = CheckOptions(tuple(BY_ID[name] for name in CASES), timeout=120.0)
    with IsolatedTarget(join_replicas(target, replicas), options.timeout, python=python) as player:
        return row_of(target, replicas, check_target(player, options))


def kept() -> dict[tuple[str, int, str], Row]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    rows = [Row(**json.loads(line)) for line in lines]
    return {(row.target, row.replicas, row.shards): row for row in rows}


def summary_of_lockstep(records: list[dict[str, Any]]) -> dict[str, Any]:
    """How far two trainings are apart after the last step that was compared, in the tensor that is furthest."""
    last = [record for record in records if record["last"]]
    furthest = max(last, key=lambda record: record["distance"] / (record["allowed"] * record["self_distance"]))
    out = [r for r in records if r["distance"] > r["allowed"] * r["self_distance"]]
    names = ("a", "b", "dtype", "steps", "tensor", "distance", "self_distance", "allowed")
    return {name: furthest[name] for name in names} | {"tensors": len(last), "out": len(out)}


def lockstep_lines(summaries: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Data-parallel training in lockstep with one device",
        "",
        "`bnproof lockstep --replicas 4 --steps 235`: LeNet on Fashion-MNIST in float64, one epoch, the same batches. "
        "The yardstick is how far PyTorch's or JAX's training, the nearer one, gets from itself with everything "
        "relabelled; a tensor may be 10 times as far apart.",
        "",
        "| trainings | steps | tensors | furthest | apart | yardstick | of what is allowed | comparisons out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in summaries:
        share = s["distance"] / (s["allowed"] * s["self_distance"])
        lines.append(
            f"| {s['a']} / {s['b']} | {s['steps']} | {s['tensors']} | {s['tensor']} | {s['distance']:.2g} | "
            f"{s['self_distance']:.2g} | {100 * share:.0f}% | {s['out']} |"
        )
    return [*lines, ""]


def page(rows: list[Row]) -> str:
    lines = [
        "# Replicas: a batch that is dealt out, against one layer on the whole of it",
        "",
        "`python -m tests.experiments.replicas` writes this page. Cases: " + ", ".join(CASES) + ", in every dtype that "
        "the target takes. Each replica has its shard of every batch; y and dx of the shards are put together, dgamma "
        "and dbeta added up, and judged by the oracle of one layer within the same proved bounds. The replicas' moving "
        "statistics must be equal to the bit. On this machine's CPU: torch by gloo, JAX on devices made of the host.",
        "",
        "| target | replicas | shards | verdict | comparisons that agree | largest error/bound of them | diagnosis |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = "; ".join(f"`{name}` ({', '.join(cases)})" for name, cases in row.findings.items())
        lines.append(
            f"| {row.target} | {row.replicas} | {row.shards} | {row.verdict} | {row.agree} of "
            f"{sum(row.counts.values())} | {row.worst:.2g} | {found} |"
        )
    versions = dict(item for row in rows for item in row.versions.items())
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lockstep = lockstep_lines(json.loads(LOCKSTEP.read_text())) if LOCKSTEP.exists() else []
    return "\n".join([*lines, "", *lockstep, f"Versions: {named}.", ""])


def main() -> None:
    rows, arguments, python = kept(), sys.argv[1:], None
    if "--lockstep" in arguments:
        files = [json.loads(Path(file).read_text()) for file in arguments[arguments.index("--lockstep") + 1 :]]
        LOCKSTEP.write_text(json.dumps([summary_of_lockstep(file["lockstep"]) for file in files], indent=1) + "\n")
        arguments = ["torch-sync"]
    if "--python" in arguments:
        *arguments, _, environment = arguments
        python = interpreter_of(environment)
    for target in arguments or [target for target in ROWS if target != "keras-sync"]:
        for replicas in ROWS[target]:
            key = (target, replicas.count, replicas.shards)
            if key not in rows:
                rows[key] = play(target, replicas, python)
                print(key, rows[key].verdict, rows[key].counts, rows[key].findings, flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(asdict(rows[key])) + "\n")
    order = {target: number for number, target in enumerate(ROWS)}
    PAGE.write_text(page(sorted(rows.values(), key=lambda row: order[row.target])))


if __name__ == "__main__":
    main()
