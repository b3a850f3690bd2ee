"""No verdict may depend on the order of the targets, nor on which other libraries are installed.

    python -m tests.experiments.order                 # every installed target, full suite, in two orders; compare
    python -m tests.experiments.order --keep a.json   # keep the verdicts ...
    python -m tests.experiments.order --with a.json   # ... and compare them with those of another environment

Exit status 1 if a verdict, a judgement's verdict or a diagnosis is not the same.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check_target
from harness.cli.every_library import AT_ONCE
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.isolate import CASE_SECONDS, IsolatedTarget


def decided(name, cases):
    """All that is decided about a target. Error/bound is left out: threads may add in another order each time."""
    with IsolatedTarget(name, CASE_SECONDS) as player:
        report = check_target(player, CheckOptions(cases))
    return {
        "verdict": report.verdict,
        "judgements": {place_of(judgement): judgement.verdict for judgement in report.judgements},
        "diagnosis": [finding.id for finding in report.diagnosis],
    }


def place_of(judgement):
    j = judgement
    return f"{j.case} {j.dtype} {j.step} {j.op} {j.observable} {j.kind}"


def decided_in_order(names, suite_name):
    """{name: what is decided}, several targets at a time, started in the order of `names`."""
    cases = suite(suite_name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda name: decided(name, cases), names), strict=True))


def differences(first, second):
    """One line for each thing that was decided in two ways, of the targets in both."""
    for name in first.keys() & second.keys():
        a, b = first[name], second[name]
        for key in ("verdict", "diagnosis"):
            if a[key] != b[key]:
                yield f"{name}: {key} {a[key]} / {b[key]}"
        for place in a["judgements"].keys() | b["judgements"].keys():
            verdicts = a["judgements"].get(place), b["judgements"].get(place)
            if verdicts[0] != verdicts[1]:
                yield f"{name}: {place}: {verdicts[0]} / {verdicts[1]}"


def main():
    parser = argparse.ArgumentParser(description="The same verdicts in two orders, or in two environments.")
    parser.add_argument("--suite", default="full", choices=["quick", "full"])
    parser.add_argument("--keep", type=Path, help="write the verdicts to this file")
    parser.add_argument("--with", dest="kept", type=Path, help="compare with such a file instead of another order")
    options = parser.parse_args()
    names = [name for name in BUILT_IN if is_installed(name)]
    first = decided_in_order(names, options.suite)
    if options.keep:
        options.keep.write_text(json.dumps(first))
    second = json.loads(options.kept.read_text()) if options.kept else decided_in_order(names[::-1], options.suite)
    lines = sorted(differences(first, second))
    print("\n".join(lines))
    in_both = first.keys() & second.keys()
    judgements = sum(len(first[name]["judgements"]) for name in in_both)
    print(f"{len(in_both)} targets, {judgements} judgements, {len(lines)} differences")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
