"""No verdict may hang on the order of the targets, nor on which other libraries are installed.

    python -m tests.experiments.order                 # every installed target, full suite, in two orders; compare
    python -m tests.experiments.order --keep a.json   # keep the verdicts ...
    python -m tests.experiments.order --with a.json   # ... and compare them with those of another environment

Exit status 1 where a verdict, a judgement's verdict or a diagnosis is another.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cases.catalogue import suite
from harness.check import CheckOptions, check_target
from harness.cli.matrix import AT_ONCE
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.isolate import CASE_SECONDS, IsolatedTarget


def found(name, cases):
    """All that is decided of a target. Error/bound is left out: threads may add in another order each time."""
    with IsolatedTarget(name, CASE_SECONDS) as isolated:
        report = check_target(isolated, CheckOptions(cases))
    verdicts = {f"{j.case} {j.dtype} {j.step} {j.op} {j.observable} {j.kind}": j.verdict for j in report.judgements}
    return {
        "verdict": report.verdict,
        "judgements": verdicts,
        "diagnosis": [finding.id for finding in report.diagnosis],
    }


def in_order(names, suite_name):
    cases = suite(suite_name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda name: found(name, cases), names), strict=True))


def differences(one, other):
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        for key in ("verdict", "diagnosis"):
            if a[key] != b[key]:
                yield f"{name}: {key} {a[key]} / {b[key]}"
        for place in a["judgements"].keys() | b["judgements"].keys():
            pair = a["judgements"].get(place), b["judgements"].get(place)
            if pair[0] != pair[1]:
                yield f"{name}: {place}: {pair[0]} / {pair[1]}"


def main():
    parser = argparse.ArgumentParser(description="The same verdicts in two orders, or in two environments.")
    parser.add_argument("--suite", default="full", choices=["quick", "full"])
    parser.add_argument("--keep", type=Path, help="write what was found to this file")
    parser.add_argument("--with", dest="earlier", type=Path, help="compare with what such a file holds instead")
    options = parser.parse_args()
    names = [name for name in BUILT_IN if is_installed(name)]
    one = in_order(names, options.suite)
    if options.keep:
        options.keep.write_text(json.dumps(one))
    other = json.loads(options.earlier.read_text()) if options.earlier else in_order(names[::-1], options.suite)
    told = sorted(differences(one, other))
    print("\n".join(told))
    judged = sum(len(one[name]["judgements"]) for name in one.keys() & other.keys())
    print(f"{len(one.keys() & other.keys())} targets, {judged} judgements, {len(told)} differences")
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
