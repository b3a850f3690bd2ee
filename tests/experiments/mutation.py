"""Mutation testing: our code is changed in one place at a time, and some quick test must notice.

    pip install mutmut==3.8.1
    python -m tests.experiments.mutation [ROOM ...] --sample 300 --jobs 2 --minutes 30
    python -m tests.experiments.mutation --changed-since COMMIT    # drawn from functions that are new or other since

mutmut changes a copy of the sources in a folder of its own, one copy a room, and asks for each mutant the tests that
reach its function. A room with more mutants than `--sample` is drawn from at random, by `--seed`. What is known stays
in the folder: the same command goes on where it was stopped, and mutants of functions that were edited are tried anew.
`survivors.txt` there says what each survivor changes. Functions under a decorator are not changed, nor is what a
module does when it is imported: mutmut leaves both as they are.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.place import ROOT

COPIED = ("harness", "reference", "impls", "reports", "tests")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")


@dataclass(frozen=True)
class Room:
    mutated: tuple[str, ...]
    """Patterns of the files that are changed."""
    tests: tuple[str, ...]
    """Those of which the ones that reach a function are asked about it."""


OF_LAYERS = (
    "tests/test_reference.py",
    "tests/test_reference_details.py",
    "tests/test_second_derivatives.py",
    "tests/test_numpy_target.py",
)
OF_BOUNDS = (
    "tests/test_bounds_are_those.py",
    "tests/test_expected_is_that.py",
    "tests/test_fold_bounds.py",
    "tests/test_oracle_error.py",
    "tests/test_products_apart.py",
    "tests/test_rescaled_bounds.py",
    "tests/test_underflow.py",
)
OF_VERDICTS = (
    "tests/test_verdict_rules.py",
    "tests/test_pair_rules.py",
    "tests/test_known.py",
    "tests/test_known_file.py",
    "tests/test_oracle_session.py",
    "tests/test_central_difference.py",
    "tests/test_coverage.py",
    "tests/test_kept_expected.py",
    "tests/test_refusals.py",
)
OF_DIAGNOSIS = tuple(
    f"tests/test_{name}.py"
    for name in (
        "diagnosis_rules", "fitted_rules", "conditional_rules", "derivative_rules", "envelope_rules", "note_rules",
        "bounds_of_fewer_bits", "cases_of_a_finding", "how_close_a_mistake_comes", "no_narrower", "pair_of_mistakes",
        "pattern", "rounding_or_formula", "search_order", "what_explains_a_case", "what_is_reported", "accuracy_note",
        "twice", "rounding",
    )
)  # fmt: skip
ROOMS = {
    "reference": Room(
        ("reference/*",), (*OF_LAYERS, *OF_BOUNDS, "tests/test_lenet.py", "tests/test_numpy_training.py")
    ),
    "judge": Room(("harness/judge/*",), (*OF_VERDICTS, *OF_BOUNDS, "tests/test_numpy_target.py")),
    "diagnose": Room(("harness/diagnose/*.py",), OF_DIAGNOSIS),
    "mistakes": Room(
        ("harness/diagnose/mistakes/*",),
        tuple(
            f"tests/test_{name}.py"
            for name in (
                "one_mistake",
                "mistakes_at_every_rank",
                "mistakes_between_replicas",
                "mistakes_complete",
                "mistakes_in_time",
                "mistakes_on_a_tour",
            )
        ),
    ),
}
LEFT_OUT = "not pytorch and not known_difference and not fails and not passes"
"""Tests that import a framework or start a process, by words of their names."""

CONFIGURATION = """

[tool.mutmut]
source_paths = ["reference", "harness"]
only_mutate = {mutated}
do_not_mutate = {spared}
also_copy = ["impls", "reports", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"]
process_isolation = "forkserver"
use_git_change_detection = false
track_dependencies = false
timeout_multiplier = 30.0
timeout_constant = 2.0
pytest_add_cli_args = ["-p", "tests.experiments.mutation_plugin", "-p", "no:cacheprovider", "-k", "{left_out}"]
pytest_add_cli_args_test_selection = {tests}
"""

GENERATE = """
import os
from mutmut import __main__ as mutmut
mutmut.set_mutant_under_test("mutant_generation")
os.makedirs("mutants", exist_ok=True)
mutmut.copy_src_dir()
mutmut.copy_also_copy_files()
mutmut.create_mutants({jobs})
"""
"""What `mutmut run` begins with. The names of all mutants are known after it."""

KILLED = ("killed", "timeout", "segfault")
STATUS = {0: "survived", 1: "killed", 3: "killed", 33: "no test", 5: "no test", 24: "timeout", -24: "timeout",
          152: "timeout", 255: "timeout", -9: "timeout", -11: "segfault"}  # fmt: skip
"""Exit statuses of a mutant's tests, as mutmut has them."""


def prepare(name: str, folder: Path, jobs: int) -> None:
    """A copy of the sources, as they are now, with every mutant of the room in it."""
    room = ROOMS[name]
    for part in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "published")
        shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True, ignore=ignored)
    for file in FILES:
        shutil.copy2(ROOT / file, folder / file)
    spared = ROOMS["mistakes"].mutated if name == "diagnose" else ()  # a pattern's * goes through folders
    configuration = CONFIGURATION.format(
        mutated=list(room.mutated), spared=list(spared), tests=list(room.tests), left_out=LEFT_OUT
    )
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(configuration)
    run(["-c", GENERATE.format(jobs=jobs)], folder)


def functions(source: str) -> dict[str, str]:
    """{function, or Class.method: what it says, without comments} of what stands at the top of a module."""
    found = {}
    for node in ast.parse(source).body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef):
                found[prefix + member.name] = ast.dump(member)
    return found


def function_of(mutant: str) -> tuple[str, str]:
    """(file, function or Class.method) of a mutant by mutmut's name: `a.b.x_f__mutmut_1`, `a.b.xǁClassǁf__mutmut_1`."""
    module, _, name = mutant.rpartition("__mutmut_")[0].rpartition(".")
    where = name.split("ǁ")[1:] if "ǁ" in name else [name.removeprefix("x_")]
    return module.replace(".", "/") + ".py", ".".join(where)


def changed_since(commit: str, mutants: list[str]) -> list[str]:
    """The mutants of functions that are new since, or read otherwise. Raises CalledProcessError for no commit."""
    known = ["git", "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"]
    subprocess.run(known, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    changed: dict[str, set[str]] = {}
    for file in {function_of(mutant)[0] for mutant in mutants}:
        shown = subprocess.run(["git", "show", f"{commit}:{file}"], cwd=ROOT, capture_output=True, text=True)
        before, after = functions(shown.stdout), functions((ROOT / file).read_text(encoding="utf-8"))
        changed[file] = {name for name in after if after[name] != before.get(name)}
    return [mutant for mutant in mutants if function_of(mutant)[1] in changed[function_of(mutant)[0]]]


def run(arguments: list[str], folder: Path, seconds: float | None = None) -> None:
    """Python in the folder; asked to stop after so many seconds."""
    environment = os.environ | {"BNPROOF_EXPECTED": "off", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (folder / "mutmut.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()


def results(folder: Path) -> dict[str, str]:
    """{mutant: status}, of each that there is; "" for one that was not tried."""
    known: dict[str, str] = {}
    for file in sorted((folder / "mutants").rglob("*.meta")):
        with contextlib.suppress(json.JSONDecodeError):  # mutmut is about to write it
            codes = json.loads(file.read_text())["exit_code_by_key"]
            known |= {mutant: "" if code is None else STATUS.get(code, "killed") for mutant, code in codes.items()}
    return known


def sample(mutants: list[str], size: int, seed: int) -> list[str]:
    """`size` of them, or all; a larger sample of the same seed holds a smaller one."""
    shuffled = sorted(mutants)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:size]


def interval(killed: int, tried: int) -> tuple[float, float]:
    """Of a share, at 95% (Wilson 1927)."""
    z, share = 1.96, killed / tried
    centre = share + z**2 / (2 * tried)
    half = z * math.sqrt(share * (1 - share) / tried + z**2 / (4 * tried**2))
    return (centre - half) / (1 + z**2 / tried), (centre + half) / (1 + z**2 / tried)


def difference(mutant: str, folder: Path) -> str:
    """The lines that the mutant changes."""
    code = "import sys; from mutmut import __main__ as m; m.cli(['show', sys.argv[1]])"
    shown = subprocess.run([sys.executable, "-c", code, mutant], cwd=folder, capture_output=True, text=True).stdout
    lines = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"    {line}" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", default=list(ROOMS), help=", ".join(ROOMS))
    parser.add_argument("--sample", type=int, default=300, help="mutants of a room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changed-since", metavar="COMMIT", help="draw from functions that are new or other since")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--minutes", type=float, help="for each room; what is left is left for the next time")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "bnproof-mutation"))
    parser.add_argument("--only-show", action="store_true", help="what is known already")
    options = parser.parse_args()
    if not (options.only_show or find_spec("mutmut")):
        parser.error("mutmut is not installed: pip install mutmut==3.8.1")
    for name in options.rooms:
        folder = options.folder / name
        if not options.only_show:
            folder.mkdir(parents=True, exist_ok=True)
            prepare(name, folder, options.jobs)
            known = results(folder)
            drawn = sample(asked_for(known, options), options.sample, options.seed)
            to_try = [mutant for mutant in drawn if not known[mutant]]
            if to_try:
                code = "import sys; from mutmut import __main__ as m; m.cli(sys.argv[1:])"
                arguments = ["run", "--max-children", str(options.jobs), *to_try]
                run(["-c", code, *arguments], folder, options.minutes and options.minutes * 60)
        report(name, folder, options)


def asked_for(known: dict[str, str], options: argparse.Namespace) -> list[str]:
    """Those that are drawn from."""
    return changed_since(options.changed_since, list(known)) if options.changed_since else list(known)


def report(name: str, folder: Path, options: argparse.Namespace) -> None:
    """One line of the table, and every survivor with what it changes."""
    known = results(folder)
    mutants = asked_for(known, options)
    drawn = sample(mutants, options.sample, options.seed)
    tried = [mutant for mutant in drawn if known[mutant]]
    counts = Counter(known[mutant] for mutant in tried)
    killed = sum(counts[status] for status in KILLED)
    low, high = interval(killed, len(tried)) if tried else (0.0, 1.0)
    print(
        f"| {name} | {len(mutants):,} | {len(tried)} of {len(drawn)} | {killed} | {counts['timeout']} "
        f"| {counts['survived']} | {counts['no test']} | {killed / max(1, len(tried)):.1%} | {low:.1%} to {high:.1%} |",
        flush=True,
    )
    with (folder / "survivors.txt").open("w", encoding="utf-8") as file:
        for mutant in sorted(tried):
            if known[mutant] not in KILLED:
                file.write(f"{mutant}: {known[mutant]}\n{difference(mutant, folder)}\n")


if __name__ == "__main__":
    main()
