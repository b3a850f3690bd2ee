"""A command is killed at random moments and resumed: the records are those of an undisturbed run.

python -m tests.experiments.kill_and_resume check 100   # or: report, few-images, every-part, small-report, matrix 20
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.place import ROOT

MINE = str(ROOT / "tests" / "targets" / "misbehaving.py") + ":Raises"
CASES = ("rank2", "rank4", "five_steps", "save_and_restore", "large_mean_1e4", "two_layers")
CLOCKS = {"seconds", "step_seconds", "compile_seconds", "examples_per_second", "step_examples_per_second", "made"}
"""What hangs on the clock, wherever it stands in a record."""
MEASURED = ("throughput",)
"""Kinds of records that hold nothing else."""


def check(folder: Path) -> tuple[list[str], Path]:
    result = folder / "v.json"
    cases = [word for case in CASES for word in ("--case", case)]
    return ["check", "numpy", MINE, *cases, "--json", str(result)], result


def matrix(folder: Path) -> tuple[list[str], Path]:
    command = ["matrix", "numpy", "tutorial", "--suite", "quick", "--here", "--out", str(folder)]
    return command, folder / "ledger.jsonl"


def report(folder: Path) -> tuple[list[str], Path]:
    return ["report", "--quick", "--steps", "2", "--out", str(folder)], folder / "ledger.jsonl"


FEW_IMAGES = """
from dataclasses import replace
from harness.cli import full_report, report_runs, run_commands
from harness.cli.app import main
from harness.targets.built_in import BUILT_IN
from harness.train.fashion_mnist import load_sample

data = load_sample()
names = ("train_images", "train_labels", "test_images", "test_labels")
few = replace(data, **{name: getattr(data, name)[:600] for name in names})
run_commands.load_data = lambda _: few
"""
"""The report on 600 images: every part is the real one."""
NO_THROUGHPUT = """
report_runs.what_is_missing = lambda: "left out here"
"""
ONE_TARGET = """
full_report.BUILT_IN = {"numpy": BUILT_IN["numpy"]}
report_runs.installed = lambda: ("numpy",)
"""
THREE_TARGETS = """
full_report.BUILT_IN = {name: BUILT_IN[name] for name in ("numpy", "torch", "jax")}
"""
PROGRAMS = {
    "few-images": FEW_IMAGES + NO_THROUGHPUT + "main()",
    "every-part": FEW_IMAGES + THREE_TARGETS + "main()",
    "small-report": FEW_IMAGES + NO_THROUGHPUT + ONE_TARGET + "main()",
}
"""Of the commands that are not bnproof's own."""


def two_seeds(folder: Path) -> tuple[list[str], Path]:
    return ["report", "--quick", "--steps", "2", "--seeds", "2", "--out", str(folder)], folder / "ledger.jsonl"


COMMANDS: dict[str, Callable[[Path], tuple[list[str], Path]]] = {
    "check": check,
    "matrix": matrix,
    "report": report,
    "few-images": report,
    "every-part": report,
    "small-report": two_seeds,
}


def start(name: str, words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    program = ["-c", PROGRAMS[name]] if name in PROGRAMS else ["-m", "harness.cli"]
    command = [sys.executable, *program, *words, "--resume", str(folder / "kept")]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=nothing, stderr=subprocess.PIPE)


def finish(name: str, words: list[str], folder: Path) -> None:
    process = start(name, words, folder)
    _, errors = process.communicate()
    if process.returncode not in (0, 1):
        raise SystemExit(f"status {process.returncode} after a resume: {errors.decode()}")


def records(path: Path) -> list[Any]:
    """What a run has written, without what hangs on the clock."""
    text = path.read_text(encoding="utf-8")
    one_object = path.suffix == ".json"
    lines = json.loads(text)["targets"] if one_object else [json.loads(line) for line in text.splitlines()]
    return [timeless(line) for line in lines if line.get("type") not in MEASURED]


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items() if name not in CLOCKS}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def main(name: str, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary, "whole")
        words, result = COMMANDS[name](whole)
        started = time.monotonic()
        finish(name, words, whole)
        lasts = time.monotonic() - started
        expected = records(result)
        print(f"undisturbed: {lasts:.1f} s, {len(expected)} records", flush=True)
        done = 0
        while done < kills:
            folder = Path(temporary, "killed")
            shutil.rmtree(folder, ignore_errors=True)
            words, result = COMMANDS[name](folder)
            of_this_run = 0
            while done < kills and of_this_run < 3:  # several deaths of one run
                process = start(name, words, folder)
                try:
                    process.communicate(timeout=rng.uniform(0.0, lasts))
                    break  # it was faster than the kill
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    done, of_this_run = done + 1, of_this_run + 1
            finish(name, words, folder)
            if records(result) != expected:
                shutil.copy(result, ROOT / "different.json")
                raise SystemExit(f"after {of_this_run} kills the records differ: different.json")
            print(f"{done} kills: the same records", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
