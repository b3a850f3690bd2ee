"""A crash, a hang or a leak of one target is that target's verdict; the others are judged, nothing is lost."""

from pathlib import Path

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check, check_target
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError
from harness.targets.player import Death

TARGETS = Path(__file__).parent / "targets" / "misbehaving.py"
CASES = tuple(BY_ID[name] for name in ("rank2", "rank4", "all_axes_equal", "five_steps", "odd_batch"))


def target(name: str) -> str:
    return f"{TARGETS}:{name}"


@pytest.fixture(scope="module")
def verdicts():
    names = ["Good", "Segfaults", "Hangs", "HangsWhenWarm", "Exits", "Raises", "NothingSupported"]
    reports = check([target(name) for name in names], CheckOptions(CASES, timeout=1.0))
    return dict(zip(names, reports, strict=True))


def test_the_good_one_is_judged_whatever_the_others_do(verdicts):
    assert verdicts["Good"].verdict == "agree"


def test_a_segfault_is_crashed_and_says_by_which_signal(verdicts):
    assert verdicts["Segfaults"].verdict == "crashed"
    died = [j for j in verdicts["Segfaults"].judgements if j.verdict == "crashed"]
    assert "signal 11" in died[0].message
    assert all(j.observable is None for j in died)


def test_after_two_deaths_the_rest_is_not_run_and_counted(verdicts):
    report = verdicts["Segfaults"]
    assert sum(j.verdict == "crashed" for j in report.judgements) == 2
    assert sum(j.verdict == "not_run" for j in report.judgements) > 0
    seen = {(j.case, j.dtype) for j in report.judgements}
    assert seen == {(case.id, dtype) for case in CASES for dtype in ("float64", "float32")}


@pytest.mark.parametrize(
    ("name", "words"), [("Hangs", "within 1 s of its first call"), ("HangsWhenWarm", "within 1 s of this case")]
)
def test_a_hang_is_timed_out_within_its_limit(verdicts, name, words):
    assert verdicts[name].verdict == "timed_out"
    hung = [j for j in verdicts[name].judgements if j.verdict == "timed_out"]
    assert words in hung[0].message


def test_what_came_before_a_death_is_judged(verdicts):
    assert any(j.case == "rank2" and j.verdict == "agree" for j in verdicts["Segfaults"].judgements)


def test_sys_exit_is_a_crash(verdicts):
    assert verdicts["Exits"].verdict == "crashed"
    assert any("sys.exit(3)" in (j.message or "") for j in verdicts["Exits"].judgements)


def test_an_exception_is_raised_not_crashed(verdicts):
    assert verdicts["Raises"].verdict == "raised"
    raised = [j for j in verdicts["Raises"].judgements if j.verdict == "raised"]
    assert raised[0].message == "RuntimeError: no training today"


def test_not_implemented_is_unsupported(verdicts):
    assert verdicts["NothingSupported"].verdict == "unsupported"


def test_exhausted_memory_ends_the_process_not_the_suite():
    with IsolatedTarget(target("EatsMemory"), timeout=60, memory_growth=2**29) as isolated:
        isolated.describe()
        answer = isolated.play(BY_ID["rank4"].make("float64", 0, 0.875), 1)
        assert isinstance(answer, Death)
        assert answer.cause == "crashed"
        assert "0.5 GiB" in answer.message
        again = isolated.play(BY_ID["rank2"].make("float64", 0, 0.875), 1)
        assert not isinstance(again, Death)


def test_output_and_changed_global_state_are_notes():
    for name, identity in (("Prints", "prints"), ("ChangesGlobals", "global_state_changed")):
        with IsolatedTarget(target(name)) as isolated:
            report = check_target(isolated, CheckOptions((BY_ID["rank2"],)))
        assert report.verdict == "agree"
        assert identity in [note.id for note in report.notes]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("toch", "did you mean 'torch'"),
        ("./nowhere.py:X", "there is no file nowhere.py"),
        ("harness.nowhere:X", "there is no module 'harness.nowhere'"),
        (f"{TARGETS}:Godo", "did you mean .*Good"),
        (f"{TARGETS}", "name the class as well"),
        (f"{TARGETS}:NotATarget", "neither `train"),
        (f"{TARGETS}:number", "it is a int; expected a class"),
        (f"{TARGETS}:IntegersOnly", "dtypes may name float64"),
    ],
)
def test_a_target_that_cannot_be_loaded_says_what_to_do(name, words):
    with IsolatedTarget(name) as isolated, pytest.raises(TargetError, match=words):
        isolated.describe()


def test_garbage_is_looked_for_once_a_target_is_imported():
    (report,) = check(["tests.targets.misbehaving:NeedsGarbageCollected"], CheckOptions((BY_ID["rank2"],)))
    assert report.verdict == "agree"
