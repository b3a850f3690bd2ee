"""The table of transformations and layers: does each layer do through it what it does without?

python -m tests.experiments.through LAYER... plays the cases on these of `LAYERS`, as they are and through each
transformation, keeps the verdicts in RESULTS, one a line, and writes the table of all that is there. What is there is
not played again, so that several environments may add their layers in turn; delete RESULTS to begin anew.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import place
from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.judge.judgement import Judgement, Verdict
from harness.judge.report import TargetReport, worst_of_each_case
from harness.targets.in_process import InProcessTarget
from harness.targets.load import load
from harness.targets.through.table import TABLE, of_framework
from harness.targets.through.transformation import SECOND

RESULTS = Path(__file__).with_name("through_results.jsonl")
PAGE = place.ROOT / "reports" / "published" / "through.md"
CASES = ("rank4", "gradients_off", "small_variance")
"""One of each kind: plain steps, gradients off, numbers near eps. Every dtype that the layer takes."""
LAYERS = (
    ("torch.nn:BatchNorm2d", "torch"),
    ("torch", "torch"),
    ("jax", "jax"),
    ("flax", "nnx"),
    ("flax-nnx", "nnx"),
    ("flax-linen", "linen"),
    ("keras-tensorflow", "keras"),
    ("keras-torch", "keras"),
    ("keras-jax", "keras"),
    ("tensorflow-fused", "tensorflow"),
    ("tensorflow-moments", "tensorflow"),
    ("numpy", "numpy"),
    ("onnxruntime-15", "onnxruntime"),
)
DOUBLE = ("double", "double_rank2", "double_frozen")
"""Of a transformation that is about second derivatives."""
SLOW = ("compile", "aot-inductor", "fuse-conv-inductor", "fuse-grouped-inductor")
"""Compiled for each dtype, mode and shape: judged on the first case alone."""


@dataclass(frozen=True)
class Cell:
    """A layer through a transformation, or as it is: its verdict and what speaks for it."""

    layer: str
    framework: str
    transformation: str
    verdict: str
    compared: int
    failing: tuple[str, ...]
    """"case dtype observable op" of every comparison that differs or raised."""
    mistakes: tuple[str, ...]
    unsupported: dict[str, int]
    """Why something was not judged -> how many comparisons."""
    versions: dict[str, str]


def cell(layer: str, framework: str, transformation: str) -> Cell:
    ids = CASES[:1] if transformation in SLOW else CASES
    if transformation and SECOND in of_framework(framework)[transformation].keeps:
        ids = DOUBLE
    with warnings.catch_warnings(action="ignore"):
        player = InProcessTarget(load(layer, "", transformation))
        report = check_target(player, CheckOptions(tuple(BY_ID[case] for case in ids)))
    return Cell(
        layer,
        framework,
        transformation,
        str(report.verdict),
        sum(j.verdict in (Verdict.agree, Verdict.differ, Verdict.raised) for j in report.judgements),
        tuple(
            dict.fromkeys(f"{j.case} {j.dtype} {j.observable} {j.op}" for j in report.judgements if j.counts_against)
        ),
        tuple(finding.id for finding in report.diagnosis),
        reasons(report),
        report.description.versions if report.description else {},
    )


def place_of(judgement: Judgement) -> str:
    return f"{judgement.case} {judgement.dtype} {judgement.observable} {judgement.op}"


def reasons(report: TargetReport) -> dict[str, int]:
    if report.load_error:
        return {report.load_error: 0}
    raised = Counter(j.message or "" for j in worst_of_each_case(report.judgements) if j.verdict is Verdict.raised)
    return dict(raised + Counter(j.message or "" for j in report.judgements if j.verdict is Verdict.unsupported))


def results() -> list[Cell]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [Cell(**json.loads(line)) for line in lines]


def play(layers: list[str]) -> None:
    """Every cell of these layers that is not there yet. In this process: Keras has one backend in each."""
    there = {(cell.layer, cell.transformation) for cell in results()}
    for layer, framework in LAYERS:
        if layer not in layers:
            continue
        for transformation in ("", *of_framework(framework)):
            if (layer, transformation) not in there:
                with RESULTS.open("a") as file:
                    file.write(json.dumps(asdict(cell(layer, framework, transformation))) + "\n")


# --- the table ---


def said_of(cell: Cell, plain: Cell) -> str:
    """What stands in the table."""
    if cell.verdict == "not_loaded":
        return "not loaded"
    if cell.compared == 0:
        return "unsupported"
    new = [failing for failing in cell.failing if failing not in plain.failing]
    if new:
        named = [mistake for mistake in cell.mistakes if mistake != "unexplained"]
        if cell.verdict == "raised" and not named:
            return "**raises**"
        return f"**differs**: {', '.join(named or cell.mistakes) or cell.verdict}"
    partly = ", in part" if cell.unsupported else ""
    return ("differs as it does without" if cell.failing else "agrees") + partly


def markdown(cells: list[Cell]) -> str:
    by_key = {(cell.layer, cell.transformation): cell for cell in cells}
    lines = [HEAD]
    for framework in dict.fromkeys(framework for _, framework in LAYERS):
        layers = [layer for layer, of in LAYERS if of == framework and (layer, "") in by_key]
        if not layers:
            continue
        versions = dict(sorted(item for layer in layers for item in by_key[layer, ""].versions.items()))
        lines += [f"\n## {framework}\n", ", ".join(f"{name} {version}" for name, version in versions.items()) + "\n"]
        lines += [f"| through | {' | '.join(layers)} |", "|---" * (len(layers) + 1) + "|"]
        for transformation in ("", *of_framework(framework)):
            row = [by_key.get((layer, transformation)) for layer in layers]
            texts = [said_of(cell, by_key[cell.layer, ""]) if cell else "not played" for cell in row]
            if not transformation:
                texts = [f"{cell.verdict}{in_dtypes(cell)}" if cell else "" for cell in row]
            lines.append(f"| {transformation or 'as it is'} | {' | '.join(texts)} |")
        lines += ["\nWhat is not judged, and why:\n", *why(framework, layers, by_key)]
    return "\n".join(lines) + "\n\n" + FINDINGS.read_text()


def in_dtypes(cell: Cell) -> str:
    dtypes = dict.fromkeys(failing.split()[1] for failing in cell.failing)
    return f" in {', '.join(dtypes)}" if dtypes else ""


def why(framework: str, layers: list[str], by_key: dict[tuple[str, str], Cell]) -> list[str]:
    lines = []
    for name in of_framework(framework):
        found: dict[str, list[str]] = {}
        for layer in layers:
            cell = by_key.get((layer, name))
            for reason in cell.unsupported if cell else ():
                if not reason.startswith(("the target has no", "eval gave no", "train gave no", "train_no_grad gave")):
                    found.setdefault(reason.removeprefix("NotImplementedError: ")[:200].replace("|", "/"), []).append(
                        layer
                    )
        lines += [f"* `{name}`, {', '.join(where)}: {reason}" for reason, where in found.items()]
    lacking: dict[str, list[str]] = {}
    for name, transformation in of_framework(framework).items():
        if transformation.lacks:
            lacking.setdefault(transformation.lacks, []).append(f"`{name}`")
    lines = [f"* {', '.join(names)}: {reason}." for reason, names in lacking.items()] + lines
    return lines or ["* Everything is."]


HEAD = f"""# Batch norms through transformations

Each layer is played through each transformation of its framework (`bnproof list` describes them) and judged by the
conventions that it has without, statistics and state included: cases {", ".join(CASES)}, seed 0, every dtype that it
takes. What Inductor compiles is judged on {CASES[0]} alone, second derivatives on {", ".join(DOUBLE)}.
"differs as it does without": nothing differs that does not without the transformation.
Made by `python -m tests.experiments.through`; one cell by `bnproof check LAYER --through NAME`."""
FINDINGS = Path(__file__).with_name("THROUGH_FINDINGS.md")
"""What the table showed, each with a snippet that runs without bnproof."""


if __name__ == "__main__":
    assert len({(t.framework, t.name) for t in TABLE}) == len(TABLE)
    play(sys.argv[1:])
    PAGE.write_text(markdown(results()))
