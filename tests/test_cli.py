"""The command line as its user sees it: exit statuses, one-line errors, JSON."""

import gzip
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.check import check
from harness.cli import output
from harness.cli.app import app
from harness.cli.check import check_options
from harness.cli.chosen import chosen_cases
from harness.cli.failures import distinct, failure_line, failure_lines
from harness.cli.list_ import as_dict, show
from harness.cli.request import CheckRequest
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.report import TargetReport
from tests.forked_command import bnproof

TARGETS = Path(__file__).parent / "targets" / "misbehaving.py"
LAYERS = Path(__file__).parent / "targets" / "layers_numpy.py"
QUICK = ("--case", "rank2", "--case", "rank4")


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
    content = json.loads((tmp_path / "v.json").read_text())
    assert [target["verdict"] for target in content["targets"]] == ["not_loaded", "agree"]


def test_json_has_the_documented_form(tmp_path):
    bnproof("check", f"{TARGETS}:Good", *QUICK, "--json", tmp_path / "v.json")
    content = json.loads((tmp_path / "v.json").read_text())
    assert content["schema"] == "bnproof/1"
    assert set(content) >= {"schema", "environment", "targets"}
    target = content["targets"][0]
    assert set(target) >= {"target", "conventions", "verdict", "diagnosis", "notes", "cases"}
    assert target["conventions"]["source"] == "declared"
    record = next(case for case in target["cases"] if case["observable"] == "dx")
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
    assert {case["case"] for case in cases} == {"your_input"}


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


def test_a_word_that_is_like_nothing_is_not_corrected():
    for words in (("check", "mine"), ("check", "numpy", "--case", "zzz")):
        assert "did you mean" not in one_line_error(bnproof(*words))


def test_a_file_is_named_where_there_is_one(tmp_path):
    (tmp_path / "mine.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "check", "mine"], capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}, timeout=120, check=False,
    )  # fmt: skip
    assert "did you mean ./mine.py:MyBatchNorm?" in one_line_error(done)


# --- what is said of a failure ---


def judgement(got, want, **more):
    return Judgement(
        "rank4", "float32", 1, "train", "dx", Kind.law, Verdict.differ, Reason.beyond_bound,
        got=got, want=want, ratio=3.25, index=(0, 2), beyond=7, elements=60, largest_error=0.125, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (0.433646041234, 0.433646044321),
        (1.0, np.nextafter(1.0, 2)),
        (0.1, np.nextafter(0.1, 0)),
        (1e-300, np.nextafter(1e-300, 1)),
        (float("nan"), 1.0),
        (0.0, -0.0),
    ],
)
def test_numbers_that_differ_look_different(a, b):
    shown = distinct(float(a), float(b))
    assert shown[0] != shown[1]
    assert all(np.isnan(x) or float(text) == pytest.approx(x, rel=1e-8) for x, text in zip((a, b), shown, strict=True))


def test_numbers_that_are_equal_in_float64_are_not_shown_twice():
    assert distinct(0.1, 0.1) == ("0.10000000000000001", "quite that")


def test_what_is_a_little_within_its_bound_is_not_shown_as_1():
    done = bnproof("check", "numpy", "--case", "two_values")
    assert "dbeta 0.999" in done.stdout


def test_a_failure_says_how_many_elements_and_how_far():
    assert failure_line(judgement(0.5, 0.25)) == (
        "rank4 in float32, step 1 (train): dx(0, 2) is 0.5, not 0.25: 3.25 bounds away; "
        "7 of 60 elements are beyond their bounds, the greatest difference 0.125"
    )


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (CheckRequest(("a b.py:X",)), "bnproof check 'a b.py:X' --case rank4 --seed 0"),
        (
            CheckRequest(("m:net",), seed=7, layer="block.1", as_preset="torch", timeout=2.5),
            "bnproof check m:net --layer block.1 --as torch --case rank4 --seed 7 --timeout 2.5",
        ),
        (CheckRequest(("m:X",), input_file=Path("my x.npz")), "bnproof check m:X --input 'my x.npz' --seed 0"),
    ],
)
def test_the_line_that_shows_it_again_has_every_option_that_matters(asked, line):
    layer = f"#{asked.layer}" if asked.layer else ""
    report = TargetReport(asked.targets[0] + layer, judgements=[judgement(0.5, 0.25)])
    assert failure_lines(report, asked)[-1] == f"again: {line}"


def test_the_line_that_shows_it_again_does():
    done = bnproof("check", f"{TARGETS}:Good", "--as", "torch", *QUICK, "--seed", 3)
    again = done.stdout.rpartition("again: ")[2].strip()
    repeated = bnproof(*shlex.split(again)[1:])
    assert (repeated.returncode, repeated.stdout) == (done.returncode, done.stdout)


def test_a_probed_verdict_says_so(tmp_path):
    done = bnproof("check", f"{LAYERS}:in_place", *QUICK, "--json", tmp_path / "v.json")
    assert done.returncode == 0
    assert "in_place: agree, as probed" in done.stdout
    (target,) = json.loads((tmp_path / "v.json").read_text())["targets"]
    assert (target["conventions"]["source"], target["basis"]) == ("probed", "as probed")


# --- the terminal ---


def test_what_is_printed_is_not_glued_to_the_bar(monkeypatch):
    """Both consoles on one terminal: the bar is taken away before a line is printed."""
    terminal = io.StringIO()
    for console in (output.out, output.err, output.bar_console):
        monkeypatch.setattr(console, "_file", terminal)
        monkeypatch.setattr(console, "_force_terminal", True)
        monkeypatch.setattr(console, "is_interactive", True)
    monkeypatch.setenv("TERM", "xterm")
    with output.bar("working", 10) as update:
        update(advance=3)
        output.err.print("first")
        before_first, _, after_first = terminal.getvalue().rpartition("first")
        output.out.print("second")
        before_second = terminal.getvalue().rpartition("second")[0]
    assert "3/10" in after_first + before_second
    erased = "\x1b[1A\x1b[2K"
    assert before_first.endswith(erased)
    assert before_second.endswith(erased)


def test_a_bar_has_the_number_of_cases_as_its_total():
    changes = []
    asked = CheckRequest(("numpy",), case_ids=("rank2", "rank4"))
    options = check_options(asked, chosen_cases(asked), lambda **change: changes.append(change))
    (report,) = check(["numpy"], options)
    assert changes[0]["total"] == len({(j.case, j.dtype) for j in report.judgements})
    assert sum(change.get("advance", 0) for change in changes) == changes[0]["total"]


# --- the other commands ---


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "harness.cli", "--help"], capture_output=True, check=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.5  # of processor time: other tests run beside this one


@pytest.mark.parametrize("words", [(), ("check",), ("bench", "layer"), ("matrix",)])
def test_h_is_help(words):
    done = bnproof(*words, "-h")
    assert done.returncode == 0
    assert "Usage: bnproof" in done.stdout


def test_help_of_check_has_the_exit_statuses():
    lines = [line.strip() for line in bnproof("check", "--help").stdout.splitlines()]
    assert [line[0] for line in lines if re.match(r"\d  ", line)] == ["0", "1", "2", "3", "4"]


def test_version_and_shell_completion():
    done = bnproof("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"bnproof \d+\.\d+.*\n", done.stdout)
    assert "--install-completion" in bnproof("--help").stdout


def test_help_imports_no_framework():
    code = "import sys, harness.cli; print([m for m in ('torch', 'jax', 'flax', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_list_names_targets_and_cases(tmp_path):
    done = bnproof("list", "--json", tmp_path / "l.json")
    assert done.returncode == 0
    content = json.loads((tmp_path / "l.json").read_text())
    assert {"numpy", "torch", "jax", "flax", "tutorial"} <= {target["target"] for target in content["targets"]}
    assert len({case["case"] for case in content["cases"]}) == len(content["cases"]) >= 40


def test_a_list_that_no_terminal_shows_has_a_whole_line_for_each_name(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    content = as_dict()
    lines = CliRunner().invoke(app, ["list"]).output.splitlines()
    for kind, name, last in (("targets", "target", "what"), ("cases", "case", "why")):
        for each in content[kind]:
            assert [line for line in lines if line.split()[:1] == [each[name]] and line.rstrip().endswith(each[last])]


def test_what_is_said_of_a_path_can_be_copied(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    path = "/a [bold]folder[/] with [/brackets]/" + "and a long name/" * 5 + "index.html"
    output.say(f"page: {path}")
    assert capsys.readouterr().out == f"page: {path}\n"


def test_a_list_on_a_narrow_terminal_cuts_no_name(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(output, "out", output.BesideBar(file=stream, force_terminal=True, width=50, color_system=None))
    show(as_dict())
    assert "…" not in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 50


def test_probe_tells_the_presets_fields(tmp_path):
    done = bnproof("probe", f"{TARGETS}:Good", "--json", tmp_path / "p.json")
    assert done.returncode == 0
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["nearest"] == "d2l"
    assert content["differs"] == []
    assert content["conventions"]["source"] == "probed"


def test_translate():
    done = bnproof("translate", "--from", "torch", "--to", "flax", "momentum=0.1", "eps=1e-5")
    assert done.returncode == 0
    assert "momentum=0.9" in done.stdout
    assert "n/(n-1)" in done.stdout
    assert "did you mean 'torch'" in one_line_error(bnproof("translate", "--from", "troch", "--to", "flax"))
    assert "expected momentum=NUMBER" in one_line_error(bnproof("translate", "--from", "d2l", "--to", "flax", "x=1"))


@pytest.mark.parametrize("command", ["check numpy --case rank2", "report --quick"])
def test_a_resume_that_is_no_folder_is_one_line_before_any_work(command, tmp_path):
    file = tmp_path / "file"
    file.touch()
    out = () if command.startswith("check") else ("--out", str(tmp_path / "out"))
    error = one_line_error(bnproof(*command.split(), *out, "--resume", str(file)))
    assert error == f"error: cannot write to {file}: File exists; name another folder with --resume"
