r"""Every mutant and every honest variant over the wire and in process: the same judgements, to the last digit.

python -m tests.experiments.wire_verdicts              # all of them: a quarter of an hour on two cores
python -m tests.experiments.wire_verdicts --sample 20  # so many mutants, so many honest variants, evenly chosen
"""

import argparse
import warnings
from dataclasses import replace

from harness.cases.catalogue import CASES
from harness.check import CheckOptions, check_target
from harness.targets.in_process import InProcessTarget
from harness.targets.isolate import IsolatedTarget
from tests.targets.honest import HONEST, LAYERS
from tests.targets.mutants import PAIRS, SINGLE


def name_of(target):
    """What the command line calls it."""
    module = "tests.targets.honest" if target in LAYERS else target.__module__
    return f"{module}:{target.__name__}"


def evenly(targets, count):
    return targets[:: max(1, len(targets) // count)][:count] if count else targets


def difference(target, cases=CASES):
    """What the two reports of a target do not share; "" where they are the same."""
    options = CheckOptions(cases, diagnosed=False)
    here = check_target(InProcessTarget(target), options)
    with IsolatedTarget(name_of(target), threads=1) as isolated:
        there = check_target(isolated, options)
    if there.load_error:
        return there.load_error
    for mine, theirs in zip(here.judgements, there.judgements, strict=True):
        if repr(mine) != repr(theirs):
            return f"{mine} in process, {theirs} over the wire"
    notes = [[replace(note) for note in report.notes if note.id != "prints"] for report in (here, there)]
    return "" if notes[0] == notes[1] else f"notes {notes[0]} in process, {notes[1]} over the wire"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0)
    options = parser.parse_args()
    different = 0
    for kind, targets in (("mutants", SINGLE + PAIRS), ("honest variants", HONEST)):
        chosen = evenly(targets, options.sample)
        for target in chosen:
            with warnings.catch_warnings(action="ignore"):
                problem = difference(target)
            if problem:
                different += 1
                print(f"{name_of(target)}: {problem}", flush=True)
        print(f"{len(chosen)} {kind} of {len(targets)} compared", flush=True)
    print(f"{different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
