"""Batch norms in JavaScript, Perl and C++, by their own players: agree where right, differ with the mistake named."""

import shutil
from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID, suite
from harness.check import CheckOptions, check, check_target
from harness.environments.environments import make
from harness.environments.programs import compiler, debian_versions
from harness.environments.requirements import Requirements
from harness.targets.built_in import BUILT_IN, is_installed
from harness.targets.built_in_kind import JSON_FOR_CPP
from harness.targets.conformance import conformance
from harness.targets.isolate import IsolatedTarget

ROOT = Path(__file__).parents[1]
PLAYERS = ROOT / "impls" / "third_party" / "players"
PROGRAMS = {"node": PLAYERS / "batch_norm.js", "perl": PLAYERS / "batch_norm.pl"}
MISTAKES = {
    "node": ("(1 - this.momentum) * mean;", "this.momentum * mean - (2 * this.momentum - 1) * this.mean[c];"),
    "perl": ("* $var * $n / ($n - 1)", "* $var"),
}  # fmt: skip
"""A line of each program, and what is wrong on purpose in its place."""
DIAGNOSES = {"node": "momentum_inverted", "perl": "moving_var_biased"}
SHOWING = tuple(BY_ID[case] for case in ("rank2", "rank4", "five_steps"))

each_program = pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, marks=pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}"))
        for program in PROGRAMS
    ],
)


def checked(command, cases):
    with IsolatedTarget(f"exec:{command}") as target:
        return check_target(target, CheckOptions(cases))


@each_program
def test_a_right_one_agrees(program):
    report = checked(f"{program} {PROGRAMS[program]}", suite("quick"))
    assert report.verdict == "agree"
    assert sum(judgement.verdict == "agree" for judgement in report.judgements) > 400


@each_program
def test_it_speaks_the_wire(program):
    checks = list(conformance(f"exec:{program} {PROGRAMS[program]}"))
    assert checks[-1].id == "stop"
    assert "wrong" not in {check.outcome for check in checks}


@each_program
def test_a_wrong_one_differs_and_its_mistake_is_named(program, tmp_path):
    source, (right, wrong) = PROGRAMS[program].read_text(), MISTAKES[program]
    assert source.count(right) == 1
    (tmp_path / "wrong").write_text(source.replace(right, wrong))
    report = checked(f"{program} {tmp_path / 'wrong'}", SHOWING)
    assert report.verdict == "differ"
    assert [finding.id for finding in report.diagnosis] == [DIAGNOSES[program]]


@each_program
def test_the_example_is_short(program):
    assert len(PROGRAMS[program].read_text().splitlines()) < 60


def built_command(folder):
    """The plain batch norm in C++ in this folder, built once for what is in its files."""
    if compiler() is None or not debian_versions([JSON_FOR_CPP]):
        pytest.skip(f"needs a C++ compiler, and apt-get install {JSON_FOR_CPP}")
    sources = tuple(str(folder / name) for name in ("batch_norm.cpp", "wire.hpp"))
    return str(make(Requirements(debian=(JSON_FOR_CPP,), sources=sources)).program)


def test_a_right_one_in_cpp_agrees_and_speaks_the_wire():
    command = built_command(PLAYERS)
    assert checked(command, suite("quick")).verdict == "agree"
    assert "wrong" not in {check.outcome for check in conformance(f"exec:{command}")}
    assert len((PLAYERS / "batch_norm.cpp").read_text().splitlines()) < 60


def test_a_wrong_one_in_cpp_differs_and_its_mistake_is_named(tmp_path):
    source, right = (PLAYERS / "batch_norm.cpp").read_text(), "(1 - momentum) * v;"
    assert source.count(right) == 1
    (tmp_path / "batch_norm.cpp").write_text(source.replace(right, "(1 - momentum) * v * n / (n - 1);"))
    (tmp_path / "wire.hpp").write_text((PLAYERS / "wire.hpp").read_text())
    report = checked(built_command(tmp_path), SHOWING)
    assert [finding.id for finding in report.diagnosis] == ["moving_var_unbiased"]


def installed(name):
    """A built-in target that is there. Nothing is built or installed here: that takes ten seconds and more."""
    if not is_installed(name):
        pytest.skip(f"{name} is not there: {BUILT_IN[name].install}, then bnproof matrix {name}")
    return name


@pytest.mark.parametrize("name", ["onednn", "onednn-channels-last", "onednn-blocked", "onednn-no-parameters"])
def test_onednn_agrees(name):
    (report,) = check([installed(name)], CheckOptions(SHOWING))
    assert report.verdict == "agree"
    assert "onednn" in report.description.versions


@pytest.mark.parametrize("name", ["dlib-con", "dlib-fc"])
def test_dlib_agrees_but_for_its_fast_variance(name):
    (report,) = check(
        [installed(name)], CheckOptions((*SHOWING, *map(BY_ID.get, ("far_mean_y", "far_mean_large_eps"))))
    )
    assert {j.case for j in report.judgements if j.counts_against} == {"far_mean_y", "far_mean_large_eps"}
    assert [finding.id for finding in report.diagnosis] == ["fast_variance"]


@pytest.mark.parametrize("name", ["onednn", "dlib-fc"])
def test_a_built_player_speaks_the_wire(name):
    checks = list(conformance(installed(name)))
    assert checks[-1].id == "stop"
    assert "wrong" not in {check.outcome for check in checks}


@pytest.mark.parametrize("name", ["tensorflow-js", "tensorflow-js-wasm", "onnxruntime-web-15"])
def test_libraries_of_javascript_agree(name):
    (report,) = check([installed(name)], CheckOptions(SHOWING))
    assert report.verdict == "agree"
    library = "tfjs" if name.startswith("tensorflow") else "onnxruntime-web"
    assert library in report.description.versions
