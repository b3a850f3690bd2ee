"""Branch coverage of the rooms in which a mistake of ours would cost most: the reference, the judge, the diagnosis.

    pip install coverage
    python -m tests.experiments.coverage_of            # every test that is about them: minutes
    python -m tests.experiments.coverage_of --quick    # without whole diagnoses: seconds

One process runs the tests. The exit status is 1 where a room has less than 95% of its lines and branches together.
COVERAGE.md has the result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from harness.place import ROOT

ROOMS = ("reference", "harness/judge", "harness/diagnose/mistakes", "harness/diagnose")
"""A file belongs to the first that it lies in."""
ENOUGH = 0.95

QUICK = (
    "accuracy_note", "bounds_are_those", "bounds_of_fewer_bits", "cases_of_a_finding", "central_difference",
    "conditional_rules", "coverage", "derivative_rules", "diagnosis_rules", "envelope_rules", "exact_family",
    "expected_is_that", "fitted_rules", "fold_bounds", "how_close_a_mistake_comes", "kept_expected", "known",
    "known_file", "lenet", "mistakes_at_every_rank", "mistakes_between_replicas",
    "mistakes_complete", "mistakes_in_time", "note_rules", "numpy_target", "numpy_training", "one_mistake",
    "oracle_error", "oracle_session", "pair_of_mistakes", "pair_rules", "pattern", "reference", "reference_details",
    "refusals", "rescaled_bounds", "rounding", "rounding_or_formula", "search_order", "second_derivatives", "summation",
    "twice", "verdict_rules", "what_explains_a_case", "what_is_reported",
)  # fmt: skip
WITH_DIAGNOSES = (
    "catalogue",
    "declared_sums",
    "diagnose",
    "mutants",
    "nameless",
    "one_case",
    "options",
    "oracle",
    "replicas",
    "user_case",
)


def measured(tests: list[str], data: Path) -> dict[str, dict[str, dict[str, int]]]:
    """{file: {"summary": counts, ...}} as `coverage json` has it."""
    environment = os.environ | {"COVERAGE_FILE": str(data), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    sources = "--source=" + ",".join(("reference", "harness/judge", "harness/diagnose"))
    coverage = [sys.executable, "-m", "coverage"]
    without = ["-p", "no:cacheprovider", "-p", "no:xdist", "-q"]
    subprocess.run([*coverage, "run", "--branch", sources, "-m", "pytest", *without, *tests], cwd=ROOT, env=environment)
    subprocess.run([*coverage, "json", "-q", "-o", f"{data}.json"], cwd=ROOT, env=environment, check=True)
    files: dict[str, dict[str, dict[str, int]]] = json.loads(Path(f"{data}.json").read_text())["files"]
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the tests that diagnose whole targets")
    options = parser.parse_args()
    names = QUICK if options.quick else QUICK + WITH_DIAGNOSES
    with tempfile.TemporaryDirectory() as folder:
        files = measured([f"tests/test_{name}.py" for name in names], Path(folder, "data"))
    counts = {room: Counter[str]() for room in ROOMS}
    for file, of_file in sorted(files.items()):
        room = next(room for room in ROOMS if file.startswith(f"{room}/"))
        counts[room].update(of_file["summary"])
        missing = [*of_file["missing_lines"], *(f"{a} to {b}" for a, b in of_file["missing_branches"])]
        if missing:
            print(f"{file}: {', '.join(map(str, missing))}")
    print("\n| Room | Lines | Branches | Covered |\n|---|---:|---:|---:|")
    shares = {room: share_of(room, of_room) for room, of_room in counts.items()}
    return int(any(shares[room] < ENOUGH for room in ROOMS))


def share_of(room: str, counts: Counter[str]) -> float:
    """Of its statements and branches, those that are covered; a line of the table is printed."""
    done = counts["covered_lines"] + counts["covered_branches"]
    share = done / (counts["num_statements"] + counts["num_branches"])
    print(f"| `{room}/` | {counts['num_statements']:,} | {counts['num_branches']:,} | {share:.1%} |")
    return share


if __name__ == "__main__":
    sys.exit(main())
