"""A failure as a script without bnproof: run, it shows the very number that was judged, and imports nothing of ours."""

import pytest
from typer.testing import CliRunner

from harness.api import check
from harness.cases.catalogue import BY_ID
from harness.cli.app import app
from harness.cli.reproduce import furthest
from harness.cli.standalone.script import arrays_of, constants, saved, stand_alone
from harness.targets.load import load
from tests.targets.misbehaving import Raises
from tests.test_installed import MINE

OURS = ("harness", "bnproof", "reference", "impls", "reports")


def script_of(target, case, dtype="float64"):
    """(the failure, its script), of a built-in target that is judged in this process"""
    result = check(load(target), cases=[case])
    failing = [each for each in result.cases if each.counts_against and each.dtype == dtype and each.ratio is not None]
    return furthest(failing), stand_alone(furthest(failing), target, result.conventions, 0)


def run(text, capsys):
    """(the exit status, what it prints)"""
    with pytest.raises(SystemExit) as left:
        exec(compile(text, "script", "exec"), {"__name__": "__main__", "__file__": "show.py"})
    return int(left.value.code), capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "case", "needs"),
    [
        ("tutorial", "gradients_off", "torch"),
        ("flax-nnx", "large_mean_1e4", "flax"),
        ("flax-linen", "large_mean_1e4", "flax"),
    ],
)
def test_a_built_in_layer_shows_the_number_that_was_judged(target, case, needs, capsys):
    pytest.importorskip(needs)
    failure, script = script_of(target, case)
    assert not any(f"import {room}" in script.text or f"from {room}" in script.text for room in OURS)
    status, printed = run(script.text, capsys)
    assert status == 1
    got = float(printed.partition(" is ")[2].partition(",")[0])
    assert got == pytest.approx(failure.got, rel=1e-6 if needs == "flax" else 1e-12)


def test_what_agrees_ends_with_0(capsys):
    pytest.importorskip("torch")
    result = check(load("torch-native"), cases=["rank4"])
    agreeing = next(each for each in result.cases if each.observable == "dx" and each.dtype == "float64")
    status, printed = run(stand_alone(agreeing, "torch-native", result.conventions, 0).text, capsys)
    assert status == 0, printed


def test_the_command_writes_a_script_for_a_class_and_its_arrays_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    done = CliRunner().invoke(app, ["reproduce", "mine.py:Wrong", "--case", "thousand_values", "--out", "show.py"])
    assert done.exit_code == 1, done.output
    assert (tmp_path / "show.npz").exists()
    status, printed = run((tmp_path / "show.py").read_text(), capsys)
    assert status == 1
    assert "rounding allows an error of" in printed
    done = CliRunner().invoke(app, ["reproduce", "mine.py:Right", "--case", "rank2"])
    assert (done.exit_code, "does not differ" in done.output) == (0, True)


def test_arrays_in_a_file_keep_their_type(tmp_path):
    script = BY_ID["rank2"].make("bfloat16", 0, 0.1)
    (tmp_path / "a.npz").write_bytes(saved(arrays_of(script, 1)))
    scope = {"__file__": str(tmp_path / "a.py")}
    exec(constants(script.setups[0], True, "a.npz", "bfloat16"), scope)
    assert scope["arrays"]["x0"].dtype == script.steps[0].x.dtype
    assert (scope["arrays"]["x0"] == script.steps[0].x).all()


def test_what_cannot_be_a_script_is_none():
    result = check(Raises, cases=["rank4"])
    raised = next(each for each in result.cases if each.counts_against)
    assert stand_alone(raised, "x.py:Raises", result.conventions, 0) is None  # no number is wrong
    number = next(each for each in result.cases if each.index)
    assert stand_alone(number, "mine.py:Mine", result.conventions, 0)
    assert stand_alone(number, "exec:node x.js", result.conventions, 0) is None
