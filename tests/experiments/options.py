"""The table of options and libraries: does a layer with the option do what the plain layer's conventions ask of it?

python -m tests.experiments.options [TARGET...] plays the cases of each option on these of `TARGETS`, or all, each in
the environment that has its library (one is made where there is none), keeps the results in RESULTS, a line each, and
writes the table of all that is there. A target that is named is played anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import place
from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.environments.environments import make
from harness.judge.coverage import COMPARED
from harness.judge.judgement import Judgement, Reason, Verdict
from harness.judge.report import TargetReport
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.isolate import IsolatedTarget

RESULTS = Path(__file__).with_name("options_results.jsonl")
PAGE = place.ROOT / "reports" / "published" / "options.md"
SNIPPETS = place.ROOT / "impls" / "third_party" / "findings"

TARGETS = (
    "numpy", "torch-options", "flax-options",
    "torch-native", "torchvision-frozen", "timm", "flax-nnx", "flax-linen", "keras-tensorflow", "keras-jax",
    "keras-torch", "tf-keras", "haiku", "equinox", "sonnet", "paddle", "tinygrad", "mlx", "onnx-reference-15",
)  # fmt: skip
"""Ours first."""

OPTIONS: dict[str, tuple[str, ...]] = {
    "gamma only": ("gamma_only",),
    "beta only": ("beta_only",),
    "neither": ("no_parameters",),
    "no moving statistics": ("no_statistics", "nothing_kept"),
    "cumulative average": ("cumulative_average", "cumulative_restored"),
    "mask": ("mask", "mask_sequences", "mask_rank2", "mask_broadcasts", "mask_and_none"),
    "mask, one left": ("mask_one_left",),
    "mask, none left": ("mask_nothing_left",),
    "frozen": ("frozen", "frozen_only", "frozen_stays"),
    "shapes change": ("changing_batch",),
    "groups of one": ("one_image",),
    "restart after NaN": ("restart_after_nan",),
    "channels last": ("rank2", "rank3", "rank4", "rank5"),
    "axis tuple": ("rank2", "rank3", "rank4", "all_axes_equal"),
}
LAST, TUPLE = "channels last", "axis tuple"
ORDINARY = ("rank2", "rank4", "five_steps", "save_and_restore", "gradients_off")
"""What fails here as well is no matter of an option."""
CHANNELS_LAST = {
    "numpy": "tests.targets.channels_last:NumpyLayer",
    "torch-options": "tests.targets.channels_last:torch_layer",
    "flax-options": "tests.targets.channels_last:flax_layer",
    "paddle": "paddle-channels-last",
    **{
        name: name
        for name in (
            "flax-nnx", "flax-linen", "keras-tensorflow", "keras-jax", "keras-torch", "tf-keras", "haiku", "sonnet",
            "mlx",
        )
    },
}  # fmt: skip
"""Target -> the same layer with its channels last."""
AXIS_TUPLE = {"flax-linen": "flax-linen-axes"}
"""Target -> the same layer with its channels over two axes."""
OF_ANOTHER = {LAST: CHANNELS_LAST, TUPLE: AXIS_TUPLE}
"""Options for which another target is played."""
FOUND = {
    ("keras-tensorflow", "mask"): "keras_mask_count.py",
    ("keras-tensorflow", "mask, one left"): "keras_mask_count.py",
    ("torch-native", "cumulative average"): "torch_cumulative_compiled.py",
    ("paddle", "gamma only"): "paddle_without_shift.py",
    ("paddle", "beta only"): "paddle_without_shift.py",
    ("paddle", "no moving statistics"): "paddle_eval_by_batch.py",
}
"""What was confirmed without bnproof: a script in SNIPPETS."""
AS_IT_IS = ("cumulative average",)
"""Options whose finding is about the compiled layer: as it is, it agrees."""


@dataclass(frozen=True)
class Cell:
    """A target under an option."""

    target: str
    option: str
    compared: int
    failing: tuple[str, ...]
    """"dtype observable mode" of what differs, or "dtype raised", less what the ordinary layer fails in as well."""
    as_without: tuple[str, ...]
    """The types in which something fails that the ordinary layer fails in as well."""
    behaviour: str
    """What is noted where a mask leaves nothing."""
    unsupported: str
    """Why a case was not judged."""
    versions: dict[str, str]


def cells_of(name: str) -> list[Cell]:
    """Every option of one target, which is played once."""
    own = {option: cases for option, cases in OPTIONS.items() if option not in OF_ANOTHER}
    ids = dict.fromkeys((*ORDINARY, *(case for cases in own.values() for case in cases)))
    report = report_of(name, ids, name)
    ordinary = {place_of(judgement) for judgement in failing(report, ORDINARY)}
    cells = [cell(name, option, report, cases, ordinary) for option, cases in own.items()]
    for option, others in OF_ANOTHER.items():
        if name in others:
            report = report_of(others[name], OPTIONS[option], name)
            cells.append(cell(name, option, report, OPTIONS[option], ordinary))
    return cells


def report_of(target: str, cases: Iterable[str], installed_as: str) -> TargetReport:
    """`installed_as`: the built-in target whose environment it is played in."""
    python = None if is_installed(installed_as) else make(BUILT_IN[installed_as].requirements).python
    with IsolatedTarget(target, python=None if python is None else str(python)) as player:
        return check_target(player, CheckOptions(tuple(BY_ID[case] for case in cases), diagnosed=False))


def failing(report: TargetReport, cases: Iterable[str]) -> list[Judgement]:
    return [judgement for judgement in report.judgements if judgement.case in cases and judgement.counts_against]


def place_of(judgement: Judgement) -> str:
    """A frozen step is a prediction."""
    if judgement.observable is None:
        return f"{judgement.dtype} raised"
    mode = "eval" if judgement.op in ("eval", "frozen") and judgement.observable[:6] != "moving" else ""
    return " ".join(filter(None, (judgement.dtype, mode, judgement.observable)))


def cell(name: str, option: str, report: TargetReport, cases: tuple[str, ...], ordinary: set[str]) -> Cell:
    here = [judgement for judgement in report.judgements if judgement.case in cases]
    places = dict.fromkeys(place_of(judgement) for judgement in failing(report, cases))
    reasons = [
        judgement.message or ""
        for judgement in here
        if judgement.verdict is Verdict.unsupported and judgement.reason not in (Reason.built_without, Reason.not_given)
    ]
    return Cell(
        name,
        option,
        sum(judgement.verdict in (*COMPARED, Verdict.raised, Verdict.noted) for judgement in here),
        tuple(place for place in places if place not in ordinary),
        tuple(dict.fromkeys(place.split()[0] for place in places if place in ordinary)),
        next((note.text for note in report.notes if note.id in cases), ""),
        report.load_error or (reasons[0] if reasons else ""),
        report.description.versions if report.description else {},
    )


def results() -> list[Cell]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [Cell(**json.loads(line)) for line in lines]


def play(names: Iterable[str]) -> None:
    kept = [cell for cell in results() if cell.target not in names]
    played = [cell for name in names for cell in cells_of(name)]
    by_target = sorted(kept + played, key=lambda cell: TARGETS.index(cell.target))
    RESULTS.write_text("".join(json.dumps(asdict(cell)) + "\n" for cell in by_target))


# --- the page ---


def word(cell: Cell) -> str:
    """What stands in the table."""
    if (cell.target, cell.option) in FOUND:
        shown = f"[shown](../../impls/third_party/findings/{FOUND[cell.target, cell.option]})"
        return f"agrees; compiled it is refused, {shown}" if cell.option in AS_IT_IS else f"**differs**, {shown}"
    if cell.failing:
        return f"**differs**: {', '.join(cell.failing)}"
    if cell.option == "mask, none left" and cell.compared:
        return cell.behaviour or "statistics stay"
    without_state = cell.option == "restart after NaN" and cell.unsupported
    if not cell.compared or without_state:
        return "unsupported"
    partly = " in part" if cell.unsupported else ""
    as_without = f"; in {', '.join(cell.as_without)} as without it" if cell.as_without else ""
    return f"agrees{partly}{as_without}"


def markdown(cells: list[Cell]) -> str:
    by_key = {(cell.target, cell.option): cell for cell in cells}
    targets = [name for name in TARGETS if any(cell.target == name for cell in cells)]
    lines = [HEAD, f"| | {' | '.join(OPTIONS)} |", "|---" * (len(OPTIONS) + 1) + "|"]
    for name in targets:
        row = [by_key.get((name, option)) for option in OPTIONS]
        lines.append(f"| `{name}` | {' | '.join(word(cell) if cell else 'unsupported' for cell in row)} |")
    lines += ["", "## What differs", "", *(found(name, option, by_key) for name, option in FOUND)]
    lines += ["", "## What is unsupported, and why", ""]
    for name in targets:
        why: dict[str, list[str]] = {}
        for option in OPTIONS:
            cell = by_key.get((name, option))
            if cell and cell.unsupported:
                why.setdefault(cell.unsupported.removeprefix("NotImplementedError: "), []).append(option)
        lines += [f"* `{name}`: " + "; ".join(f"{', '.join(o)}: {reason}" for reason, o in why.items())] if why else []
    lines += ["", "## Versions", ""]
    for name in targets:
        versions = next(cell.versions for cell in cells if cell.target == name)
        lines.append(f"* `{name}`: " + ", ".join(f"{package} {v}" for package, v in sorted(versions.items())))
    return "\n".join(lines) + "\n"


def found(name: str, option: str, by_key: dict[tuple[str, str], Cell]) -> str:
    """One confirmed difference: what its script says of itself, and where it shows here."""
    script = SNIPPETS / FOUND[name, option]
    title = next(line for line in script.read_text().splitlines() if line.startswith("# title: "))
    cell = by_key.get((name, option))
    where = f" (here: {', '.join(cell.failing)})" if cell and cell.failing else ""
    return f"* `{name}`, {option}: {title.removeprefix('# title: ')}: `{script.name}`{where}"


HEAD = """# Options and libraries

Made by `python -m tests.experiments.options`; not to be edited. Each library's batch norm is built with the option, or
called with it, and judged by the cases of the option in every type that it takes (`bnproof list` names them).

* *Agrees*: every comparison is within its proved bound.
* *Unsupported*: the layer has no such option, or our wrapper does not reach it; the reason is below.
* *As without it*: in that type the plain layer is wrong too.

Gradients of parameters that are not trained, as in a frozen layer of Keras, are absent and not judged. *Groups of one*
is a batch of one image, which every layer must take. *Channels last* is judged at every rank that the layer takes.
"""


def main() -> None:
    names = sys.argv[1:]
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        sys.exit(f"unknown target {unknown[0]!r}; the table has {', '.join(TARGETS)}")
    for name in names or TARGETS:
        play([name])
    PAGE.write_text(markdown(results()))


if __name__ == "__main__":
    main()
