"""The command line as its user sees it: exit statuses, one-line errors, JSON."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

TARGETS = Path(__file__).parent / "targets" / "misbehaving.py"
QUICK = ("--case", "rank2", "--case", "rank4")


def bnproof(*arguments, cwd=None):
    command = [sys.executable, "-m", "harness.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def one_line_error(done):
    """The error, after checking that it is one line on stderr and exit status 2."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


# --- exit statuses of check ---


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["Good"], 0),
        (["Raises"], 1),
        (["Raises", "Nowhere"], 2),
        (["Raises", "Segfaults"], 3),
        (["Segfaults", "Nowhere"], 2),
        (["NothingSupported"], 4),
        (["Good", "NothingSupported"], 4),
        (["Raises", "NothingSupported"], 1),
    ],
)
def test_exit_status_where_several_hold(names, status):
    assert bnproof("check", *[f"{TARGETS}:{name}" for name in names], *QUICK).returncode == status


def test_the_others_are_judged_where_one_cannot_be_loaded(tmp_path):
    done = bnproof("check", "toch", f"{TARGETS}:Good", *QUICK, "--json", tmp_path / "v.json")
    assert done.returncode == 2
    found = json.loads((tmp_path / "v.json").read_text())
    assert [one["verdict"] for one in found["targets"]] == ["not_loaded", "agree"]


def test_json_has_the_documented_form(tmp_path):
    bnproof("check", f"{TARGETS}:Good", *QUICK, "--json", tmp_path / "v.json")
    found = json.loads((tmp_path / "v.json").read_text())
    assert found["schema"] == "bnproof/1"
    assert set(found) >= {"schema", "environment", "targets"}
    target = found["targets"][0]
    assert set(target) >= {"target", "conventions", "verdict", "diagnosis", "notes", "cases"}
    assert target["conventions"]["source"] == "declared"
    record = next(one for one in target["cases"] if one["observable"] == "dx")
    assert set(record) >= {"case", "observable", "verdict", "error", "bound", "ratio", "index", "got", "want"}
    assert record["ratio"] == pytest.approx(record["error"] / record["bound"])
    assert sum(target["counts"].values()) == len(target["cases"])


def test_same_seed_same_verdicts_to_the_last_digit(tmp_path):
    for name in ("a", "b"):
        bnproof("check", f"{TARGETS}:Good", *QUICK, "--seed", 7, "--json", tmp_path / f"{name}.json")
    a, b = (json.loads((tmp_path / f"{name}.json").read_text())["targets"] for name in ("a", "b"))
    assert a == b


def test_as_judges_by_another_preset(tmp_path):
    done = bnproof("check", f"{TARGETS}:Good", *QUICK, "--as", "torch", "--json", tmp_path / "v.json")
    assert done.returncode == 1
    target = json.loads((tmp_path / "v.json").read_text())["targets"][0]
    assert target["conventions"]["source"] == "--as torch"


def test_an_unknown_combination_gets_its_note():
    done = bnproof("check", f"{TARGETS}:TorchVarianceKeepMomentum", *QUICK)
    assert done.returncode == 0
    assert "no known framework does this" in done.stdout


# --- bad input: one line, status 2 ---


def test_unknown_target_names_the_nearest():
    assert "did you mean 'torch'" in one_line_error(bnproof("check", "toch"))


def test_unknown_case_names_the_nearest():
    assert "did you mean 'rank4'" in one_line_error(bnproof("check", "numpy", "--case", "rnak4"))


def test_unknown_preset_names_the_known():
    assert "the presets are d2l, torch" in one_line_error(bnproof("check", "numpy", "--as", "pytorch"))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros(5)}, "rank 2 to 5"),
        ({"x": np.zeros((4, 3)), "gamma": np.ones(5)}, "gamma must have shape (3,)"),
        ({"x": np.zeros((4, 3), int)}, "must be floating-point, it is int64"),
        ({"y": np.zeros((4, 3))}, "unknown array 'y'"),
    ],
)
def test_bad_arrays_say_what_is_wrong(tmp_path, arrays, words):
    np.savez(tmp_path / "x.npz", **arrays)
    assert words in one_line_error(bnproof("check", "numpy", "--input", tmp_path / "x.npz"))


def test_a_users_own_arrays_are_judged(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(6, 3, 4)), gamma=np.array([1.0, -2.0, 0.5]))
    done = bnproof("check", "numpy", "--input", tmp_path / "x.npz", "--json", tmp_path / "v.json")
    assert done.returncode == 0
    cases = json.loads((tmp_path / "v.json").read_text())["targets"][0]["cases"]
    assert {one["case"] for one in cases} == {"your_input"}


def test_a_truncated_data_file_is_named(tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        with gzip.open(tmp_path / f"{name}-ubyte.gz", "wb") as file:
            file.write(bytes(100))
    error = one_line_error(bnproof("train", "--impl", "numpy", "--data", tmp_path, "--out", tmp_path / "out"))
    assert "train-images-idx3-ubyte" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "--quick", "--out"),
        ("train", "--impl", "numpy", "--out"),
        ("check", "numpy", "--case", "rank2", "--json"),
    ],
)
def test_an_unwritable_output_is_an_error_before_the_work(tmp_path, arguments):
    (tmp_path / "file").write_text("")
    started = time.monotonic()
    error = one_line_error(bnproof(*arguments, tmp_path / "file" / "out"))
    assert "another" in error
    assert time.monotonic() - started < 20


def test_non_float_dtype_of_lockstep():
    assert "float64 or float32" in one_line_error(bnproof("lockstep", "--dtype", "int32"))


# --- the other commands ---


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        assert bnproof("--help").returncode == 0
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.5


def test_help_imports_no_framework():
    code = "import sys, harness.cli; print([m for m in ('torch', 'jax', 'flax', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_list_names_targets_and_cases(tmp_path):
    done = bnproof("list", "--json", tmp_path / "l.json")
    assert done.returncode == 0
    found = json.loads((tmp_path / "l.json").read_text())
    assert {"numpy", "torch", "jax", "flax", "tutorial"} <= {one["target"] for one in found["targets"]}
    assert len({one["case"] for one in found["cases"]}) == len(found["cases"]) >= 40


def test_probe_tells_the_presets_fields(tmp_path):
    done = bnproof("probe", f"{TARGETS}:Good", "--json", tmp_path / "p.json")
    assert done.returncode == 0
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["nearest"] == "d2l"
    assert found["differs"] == []
    assert found["conventions"]["source"] == "probed"


def test_translate():
    done = bnproof("translate", "--from", "torch", "--to", "flax", "momentum=0.1", "eps=1e-5")
    assert done.returncode == 0
    assert "momentum=0.9" in done.stdout
    assert "n/(n-1)" in done.stdout
    assert "did you mean 'torch'" in one_line_error(bnproof("translate", "--from", "troch", "--to", "flax"))
    assert "expected momentum=NUMBER" in one_line_error(bnproof("translate", "--from", "d2l", "--to", "flax", "x=1"))
