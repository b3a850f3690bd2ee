r"""Every mutant and every honest variant over the wire and in process: the same judgements, to the last digit.

python -m tests.experiments.wire_verdicts              # all of them: half an hour of one core; makes WIRE_VERDICTS.md
python -m tests.experiments.wire_verdicts --jobs 2     # by two processes, a target at a time
python -m tests.experiments.wire_verdicts --sample 20  # so many mutants, so many honest variants, evenly chosen
"""

import argparse
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from harness.cases.catalogue import CASES
from harness.check import CheckOptions, check_target
from harness.targets.in_process import InProcessTarget
from harness.targets.isolate import IsolatedTarget
from tests.targets.honest import HONEST, LAYERS
from tests.targets.mutants import PAIRS, SINGLE

KINDS = {"mutants": SINGLE + PAIRS, "honest variants": HONEST}
PATIENT = 900.0
"""Seconds that a case may take: a busy machine is no difference between the two."""
PAGE = Path(__file__).with_name("WIRE_VERDICTS.md")
HEAD = """# Over the wire and in process

Every mutant and every honest variant, played in a process of its own over the wire and in the process that judges it,
on all cases: the judgements, to the last digit of each error and bound, and the notes.
`python -m tests.experiments.wire_verdicts` makes this; `tests/test_wire.py` holds a slice of it.

| | Targets | Judgements | Targets that differ |
|---|---:|---:|---:|
"""


@dataclass
class Comparison:
    """What was compared of one kind of target."""

    kind: str
    targets: int = 0
    judgements: int = 0
    problems: list[str] = field(default_factory=list)

    def row(self):
        return f"| {self.kind} | {self.targets:,} | {self.judgements:,} | {len(self.problems)} |\n"


def name_of(target):
    """What the command line calls it."""
    module = "tests.targets.honest" if target in LAYERS else target.__module__
    return f"{module}:{target.__qualname__}"  # __name__ may say besides how many replicas there are


def evenly(targets, count):
    return targets[:: max(1, len(targets) // count)][:count] if count else targets


def difference(target, cases=CASES):
    """What the two reports of a target do not share; "" where they are the same."""
    return compared(target, cases)[1]


def compared(target, cases=CASES):
    """(how many judgements were compared, what is not the same or "")."""
    options = CheckOptions(cases, diagnosed=False)
    here = check_target(InProcessTarget(target), options)
    with IsolatedTarget(name_of(target), PATIENT, threads=1) as isolated:
        there = check_target(isolated, options)
    count = len(here.judgements)
    if there.load_error:
        return count, there.load_error
    for judged_here, judged_there in zip(here.judgements, there.judgements, strict=True):
        if repr(judged_here) != repr(judged_there):
            return count, f"{judged_here} in process, {judged_there} over the wire"
    notes = [[replace(note) for note in report.notes if note.id != "prints"] for report in (here, there)]
    return count, "" if notes[0] == notes[1] else f"notes {notes[0]} in process, {notes[1]} over the wire"


def numbered(kind, number):
    """`compared`, for a process that is sent no class: layers are made, and cannot be pickled."""
    with warnings.catch_warnings(action="ignore"):
        return compared(KINDS[kind][number])


def compare_all(kind, targets, jobs=1):
    comparison = Comparison(kind)
    numbers = [KINDS[kind].index(target) for target in targets]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as processes:
        for target, (judgements, problem) in zip(
            targets, processes.map(numbered, [kind] * len(numbers), numbers), strict=True
        ):
            comparison.targets += 1
            comparison.judgements += judgements
            if problem:
                comparison.problems.append(f"{name_of(target)}: {problem}")
                print(comparison.problems[-1], flush=True)
            print(f"{kind}: {comparison.targets} of {len(numbers)}", file=sys.stderr, flush=True)
    print(comparison.row(), end="", flush=True)
    return comparison


def page(comparisons):
    problems = [f"* {problem}\n" for comparison in comparisons for problem in comparison.problems]
    return (
        HEAD + "".join(comparison.row() for comparison in comparisons) + ("\n" if problems else "") + "".join(problems)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    options = parser.parse_args()
    comparisons = [compare_all(kind, evenly(of, options.sample), options.jobs) for kind, of in KINDS.items()]
    if not options.sample:
        PAGE.write_text(page(comparisons), encoding="utf-8")
    different = sum(len(comparison.problems) for comparison in comparisons)
    print(f"{different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
