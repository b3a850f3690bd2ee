"""What hangs on each number of `harness/diagnose/tuning.py`: every mutant diagnosed anew with the number changed.

    python -m tests.experiments.tuning --keep rows.jsonl > tests/experiments/TUNING.md

A mutant is played once. Its failures are then diagnosed with each number that this diagnosis reads at a quarter and at
four times its value, and at half and twice where the quarter or the fourfold changes which ids are named. With `--keep`
the rows of a run that was cut off are not made again. Honest variants have no failure to diagnose: only their notes
hang on a number.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.cases.catalogue import BY_ID
from harness.diagnose import (
    deviations,
    envelopes,
    evidence,
    fewer_bits,
    fitted,
    interplay,
    line_up,
    misfit,
    notes,
    pairs,
    replay,
    rounding,
    side_by_side,
    tuning,
    yardstick,
)
from harness.diagnose.diagnose import diagnose
from harness.diagnose.mistakes.known import KNOWN
from harness.diagnose.notes import notes_on
from harness.judge.expected import Expected, expect
from harness.judge.oracle import OracleLayer
from harness.judge.report import TargetReport
from tests.experiments.commit import commit_of_this_checkout
from tests.in_process import checked
from tests.targets.honest import HONEST
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

READERS = (
    deviations, evidence, interplay, line_up, misfit, notes, pairs, replay, rounding, side_by_side, yardstick,
)  # fmt: skip
"""The modules that read `tuning`."""
REPLAYERS = (fitted, interplay, misfit)
WIDENERS = (envelopes, evidence, fewer_bits)
NUMBERS = {name: value for name, value in vars(tuning).items() if name.isupper()}
FAR_OFF, CLOSE_BY = (0.25, 4.0), {0.25: 0.5, 4.0: 2.0}
"""The factors that are tried; and, where the first of a pair changes something, the one between it and 1."""


class Recorder:
    """Stands in for the module `tuning`: the same numbers, some of them replaced; remembers which were read."""

    def __init__(self, replaced: dict[str, float]) -> None:
        self.values = NUMBERS | replaced
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> float:
        self.read.add(name)
        return self.values[name]


@contextmanager
def tuned(**replaced: float) -> Iterator[Recorder]:
    """Diagnosis with some numbers replaced."""
    recorder = Recorder(replaced)
    for module in READERS:
        module.tuning = recorder
    try:
        yield recorder
    finally:
        for module in READERS:
            module.tuning = tuning


@contextmanager
def remembering() -> Iterator[None]:
    """Diagnosis that replays each known mistake once a script, and widens each script once: no number enters there."""
    plain = replay.replayed
    variants = {OracleLayer, *(variant for known in KNOWN for variant in known.variants)}
    replays: dict[Any, Any] = {}
    widened: dict[Any, Any] = {}

    def replayed(layer, played, conventions):
        if layer not in variants:
            return plain(layer, played, conventions)
        key = (layer, id(played.script), conventions)
        if key not in replays:
            whole = replace(played, observation=played.script)  # all steps, not only those before an exception
            replays[key] = played.script, list(plain(layer, whole, conventions))
        return iter(replays[key][1][: len(played.observation.steps)])

    def expected(script, conventions, **options):
        key = (id(script), conventions, tuple(options.items()))
        if key not in widened:
            widened[key] = script, expect(script, conventions, **options)
        return [Expected(step.values, dict(step.bounds), step.raises) for step in widened[key][1]]

    _install(replayed, expected)
    try:
        yield
    finally:
        _install(plain, expect)


def _install(replayed: Any, expected: Any) -> None:
    for module in REPLAYERS:
        module.replayed = replayed
    for module in WIDENERS:
        module.expect = expected


def scaled(name: str, factor: float) -> float:
    """The number times `factor`; a count stays a count, of one at least."""
    value = NUMBERS[name] * factor
    return max(1, round(value)) if isinstance(NUMBERS[name], int) else value


@dataclass(frozen=True)
class Row:
    """What was named in one target with one number changed. `number` is empty where none was."""

    target: str
    expected: tuple[str, ...]
    number: str
    factor: float
    named: tuple[str, ...]

    @property
    def diagnosis(self) -> tuple[str, ...]:
        return tuple(identity for identity in self.named if identity not in NOTES)


NOTES = {"naive_summation"}
"""The notes that hang on a number."""


def named_in(report: TargetReport) -> tuple[str, ...]:
    """The ids of the diagnosis, and of the notes that hang on a number."""
    noted = {note.id for note in notes_on(report)} & NOTES
    return tuple(sorted({finding.id for finding in diagnose(report)} | noted))


def rows_of(target: type, is_honest: bool) -> Iterator[Row]:
    """The target as it is, then with each number that its diagnosis reads changed."""
    report = checked(target, cases=(BY_ID["many_values"],)) if is_honest else checked(target, diagnosed=False)
    expected = () if is_honest else tuple(sorted(expected_ids(target)))
    with tuned() as recorder:
        unchanged = named_in(report)
    yield Row(target.__name__, expected, "", 1.0, unchanged)
    for number in sorted(recorder.read):
        for factor in FAR_OFF:
            with tuned(**{number: scaled(number, factor)}):
                named = named_in(report)
            yield Row(target.__name__, expected, number, factor, named)
            if named != unchanged:
                with tuned(**{number: scaled(number, CLOSE_BY[factor])}):
                    yield Row(target.__name__, expected, number, CLOSE_BY[factor], named_in(report))


def in_order() -> list[type]:
    """Honest variants, then mutants: those that fixed mistakes alone do not explain first, for they read the most."""
    fixed = {known.id for known in KNOWN}
    return [*HONEST, *PAIRS, *sorted(SINGLE, key=lambda mutant: expected_ids(mutant) <= fixed)]


def all_rows(keep: Path | None) -> list[Row]:
    """Every target's rows: those that were kept, and the rest made now."""
    lines = keep.read_text().splitlines() if keep and keep.exists() else []
    rows = [row_of(json.loads(line)) for line in lines]
    done = {row.target for row in rows}
    with warnings.catch_warnings(action="ignore"), remembering():
        for target in in_order():
            if target.__name__ in done:
                continue
            made = list(rows_of(target, target in HONEST))
            rows += made
            print(f"{target.__name__}: {len(made)} diagnoses", file=sys.stderr, flush=True)
            if keep:
                with keep.open("a") as file:
                    file.writelines(json.dumps(asdict(row)) + "\n" for row in made)
    return rows


def row_of(fields: dict[str, Any]) -> Row:
    return Row(**fields | {name: tuple(fields[name]) for name in ("expected", "named")})


def table(rows: list[Row]) -> list[str]:
    """One line a number and value: how many diagnoses are exactly right, and what is named otherwise than unchanged."""
    unchanged = {row.target: row for row in rows if not row.number}
    right = sum(row.diagnosis == row.expected for row in unchanged.values() if row.expected)
    read = Counter(row.number for row in rows if row.factor == FAR_OFF[0])
    lines = ["| number | value | read for | right | changed |", "|---|---:|---:|---:|---|"]
    for number, value in NUMBERS.items():
        factors = {scaled(number, factor): factor for factor in (*FAR_OFF, *CLOSE_BY.values())} | {value: 1.0}
        for number_here, factor in sorted(factors.items()):
            changed = [
                r for r in rows if (r.number, r.factor) == (number, factor) and r.named != unchanged[r.target].named
            ]
            mutants = [row for row in changed if row.expected]
            lost = sum(unchanged[row.target].diagnosis == row.expected for row in mutants)
            won = sum(row.diagnosis == row.expected for row in mutants)
            shown = f"**{value:g}**" if factor == 1 else f"{number_here:g}"
            lines.append(f"| {number} | {shown} | {read[number]} | {right - lost + won} | {in_words(changed)} |")
    return lines


def in_words(changed: list[Row], shown: int = 6) -> str:
    """Which targets are named otherwise, and as what; of many, the first few."""
    texts = [f"{row.target}: {' + '.join(row.named) or 'nothing'}" for row in changed[:shown]]
    more = [f"and {len(changed) - shown} more"] if len(changed) > shown else []
    return "; ".join(texts + more)


def main() -> None:
    parser = argparse.ArgumentParser(description="Every mutant, diagnosed with each number changed, as Markdown.")
    parser.add_argument("--keep", type=Path, help="a file for the rows, one JSON object a line")
    rows = all_rows(parser.parse_args().keep)
    print("# What hangs on the numbers of diagnosis", end="\n\n")
    print(f"Made by `python -m tests.experiments.tuning` at {commit_of_this_checkout()}.", end="\n\n")
    mutants = {row.target for row in rows if row.expected}
    print(f"{len(mutants)} mutants, and the notes of {len(HONEST)} honest variants; seed 0.")
    print("`read for`: for how many of them the number is read at all. `right`: how many diagnoses are exactly right.")
    print("Between the number and a value that changes nothing, nothing was tried.", end="\n\n")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
