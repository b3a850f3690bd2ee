"""The checks as pytest tests: which run, what they compare, and that they say what `bnproof check` says."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.forked_command import PYTEST, bnproof, forked

ROOT = Path(__file__).parents[1]
THREE = ("Right", "Swapped", "Refuses")
LAYERS = '''
from dataclasses import replace

from reference.conventions import PRESETS
from reference.under_test import NumpyBatchNorm


class Right(NumpyBatchNorm):
    pass


class OffInPrediction(NumpyBatchNorm):
    """Its prediction is wrong in one case: for one value, where all axes are of one length."""

    def eval(self, x, dy):
        results = super().eval(x, dy)
        if len({*x.shape}) == 1:
            results["y"].flat[0] += 1
        return results


class Swapped(NumpyBatchNorm):
    options = ()

    def train(self, x, dy):
        results = super().train(x, dy)
        return results | {"dgamma": results["dbeta"], "dbeta": results["dgamma"]}


class Refuses(NumpyBatchNorm):
    def __init__(self, setup):
        raise NotImplementedError("not on this machine")


class UnbiasedAnything(NumpyBatchNorm):
    """As PyTorch's, but one value per channel is no error: the unbiased variance of one value is NaN."""

    conventions = {"preset": "torch", "single_value": "any"}

    def __init__(self, setup):
        super().__init__(setup)
        self.layer.conventions = replace(PRESETS["torch"], single_value="any")
'''


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    file = tmp_path_factory.mktemp("layers") / "layers.py"
    file.write_text(LAYERS)
    return file


def checks(*arguments):
    without = [
        part for plugin in ("cacheprovider", "hypothesispytest") for part in ("-p", f"no:{plugin}")
    ]  # slow to start
    imported_already = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # before the fork: in no user's run
    return forked(PYTEST, "harness", "-q", *without, *arguments, *imported_already, cwd=ROOT)


def collected(*arguments):
    """{file: number of tests} that a run with these arguments would run, and the output of a run that fails."""
    done = checks("--suite", "quick", "--collect-only", "-qq", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.rpartition(": ") for line in done.stdout.splitlines() if line.startswith("harness/")]
    return {Path(file).name: int(count) for file, _, count in lines}


def test_a_layer_of_ones_own_is_checked_alone(layers):
    counts = collected("--bn", f"{layers}:Right")
    assert counts.keys() == {"test_verdict.py", "test_forward.py", "test_backward.py", "test_moving_stats.py"}
    assert counts["test_verdict.py"] == 1


def test_what_is_asked_for_is_compared_in_pairs(layers):
    assert collected("--bn", f"{layers}:Right", "--require", "torch,jax")["test_pairs.py"] == 3
    assert collected("--bn", f"{layers}:Right", "--bn", f"{layers}:Swapped")["test_pairs.py"] == 1


def test_the_built_in_targets_come_when_asked_or_when_nothing_is_named(layers):
    nothing_named, asked = collected(), collected("--bn", f"{layers}:Right", "--builtin")
    assert nothing_named["test_verdict.py"] == 5
    assert asked["test_verdict.py"] == 6
    assert asked["test_pairs.py"] == 15
    assert "test_training.py" in nothing_named
    assert "test_training.py" in asked


@pytest.fixture(scope="module")
def tested(layers, tmp_path_factory):
    """A run over a right layer, a wrong one, and one that cannot be judged: its status and its JUnit file."""
    file = tmp_path_factory.mktemp("junit") / "junit.xml"
    targets = [argument for name in THREE for argument in ("--bn", f"{layers}:{name}")]
    done = checks("--suite", "quick", *targets, "-k", "not pair", "-W", "error", f"--junitxml={file}")
    return done.returncode, list(ElementTree.parse(file).iter("testcase"))


def failures(tests, target):
    """{test: message} of a target's tests that failed."""
    failed = {test.get("name"): test.find("failure") for test in tests if f":{target}" in test.get("name")}
    return {name: failure.get("message") for name, failure in failed.items() if failure is not None}


def test_a_layer_fails_where_check_fails_it(layers, tested, tmp_path):
    status, tests = tested
    file = tmp_path / "check.json"
    targets = [f"{layers}:{name}" for name in THREE]
    assert bnproof("check", *targets, "--suite", "quick", "--json", file).returncode == status == 1
    verdicts = [target["verdict"] for target in json.loads(file.read_text())["targets"]]
    assert verdicts == ["agree", "differ", "unsupported"]
    assert [bool(failures(tests, name)) for name in THREE] == [False, True, True]
    assert "unsupported" in failures(tests, "Refuses")[f"test_verdict[{targets[2]}]"]
    wrong = failures(tests, "Swapped")
    assert "dgamma_dbeta_swapped: " in wrong[f"test_verdict[{targets[1]}]"]
    assert any(name.startswith("test_backward") for name in wrong)
    assert not any(name.startswith("test_forward") for name in wrong)


def test_figures_are_in_the_junit_file_though_warnings_are_errors(tested):
    _, tests = tested
    ratios = [float(each.attrib["value"]) for test in tests for each in test.iter("property")]
    assert len(ratios) > 20
    assert 0 < max(ratios) <= 1


def test_a_layer_can_be_judged_by_a_preset(layers):
    """By its own conventions it agrees, as the last test shows: PyTorch refuses one value per channel."""
    arguments = ["--suite", "quick", "--as", "torch"]
    assert checks("--bn", f"{layers}:UnbiasedAnything", *arguments).returncode == 1
    assert bnproof("check", f"{layers}:UnbiasedAnything", *arguments).returncode == 1


def test_a_known_difference_is_expected_to_fail_and_must_differ(layers, tmp_path):
    known = tmp_path / "known"
    known.write_text("all_axes_equal: ticket 7\n")
    options = ["--suite", "quick", "--known", known, "-k", "all_axes_equal or verdict"]
    excused = checks("--bn", f"{layers}:OffInPrediction", *options)
    assert excused.returncode == 0, excused.stdout
    assert "known: ticket 7" in excused.stdout
    mended = checks("--bn", f"{layers}:Right", *options)
    assert mended.returncode == 1
    assert "all_axes_equal no longer differs (ticket 7)" in mended.stdout


def test_wrong_options_are_usage_errors(layers, tmp_path):
    known = tmp_path / "known"
    known.write_text("rank_5: ticket 7\n")
    for options, message in [
        (["--known", known], "did you mean 'rank5'"),
        (["--as", "toch"], "--as: "),
        (["--require", "toch"], "--require: unknown target 'toch'"),
    ]:
        done = checks("--bn", f"{layers}:Right", *options)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert message in done.stdout + done.stderr


def test_where_the_oracle_has_no_number_a_pair_is_not_compared(layers):
    targets = ["--bn", f"{layers}:UnbiasedAnything", "--bn", f"{layers}:Right"]
    done = checks(*targets, "--suite", "quick", "-k", "test_pair or test_verdict")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
