"""The wire: what a player says wrongly is its verdict, in plain words, and never an error of ours."""

import base64
import json
import re
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.targets import launch
from harness.targets.conformance import conformance
from harness.targets.in_process import InProcessTarget
from harness.targets.isolate import IsolatedTarget
from harness.targets.load import TargetError, load
from harness.targets.player import Death
from harness.targets.process import PRINTED_KEPT, Printed, TargetProcess, last_words
from harness.targets.wire.arrays import DTYPES, WireError, dtype_called, from_wire, to_wire
from harness.targets.wire.reading import answer_from, description_from
from reference.under_test import NumpyBatchNorm
from tests.experiments.fuzz_wire import fuzz
from tests.experiments.wire_verdicts import difference
from tests.targets.honest.formulas import SixteenBits
from tests.targets.mutants.forward import FirstAxisTaken, WritesIntoInput
from tests.targets.mutants.modes import SharedBuffers, StateIgnored

ROOT = Path(__file__).parents[1]
PLAYER = ROOT / "tests" / "targets" / "wire_player.py"
MANUAL = ROOT / "harness" / "targets" / "WIRE.md"
RANK2 = BY_ID["rank2"]


def player(mistake=""):
    return f"exec:{shlex.join([sys.executable, str(PLAYER), mistake])}"


# --- arrays ---


@pytest.mark.parametrize("name", DTYPES)
def test_an_array_comes_back_to_the_bit(name):
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(0, 2 if name == "bool" else 256, dtype_called(name).itemsize * 6, dtype=np.uint8)
    array = np.frombuffer(bytes_.tobytes(), dtype_called(name)).reshape(3, 1, 2)
    sent = json.loads(json.dumps(to_wire(array[::-1])))
    back = from_wire(sent, "y")
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array[::-1].tobytes()
    back[:] = 0  # it can be written to


def test_an_array_is_little_endian_and_row_major():
    written = to_wire(np.array([[1.0, 2.0]], np.float32))
    assert written == {"dtype": "float32", "shape": [1, 2], "data": "AACAPwAAAEA="}
    assert base64.b64decode(written["data"])[:4] == b"\x00\x00\x80\x3f"


@pytest.mark.parametrize(
    "array", [np.array([None, 1]), np.array(["a"]), np.zeros(2, ">f4"), np.zeros(2, "f4,i4"), np.zeros(2, "M8[s]")]
)
def test_what_has_no_dtype_of_ours_is_sent_without_its_values(array):
    sent = json.loads(json.dumps(to_wire(array)))
    assert sent["data"] is None
    assert from_wire(sent, "y").shape == array.shape
    assert from_wire(sent, "y").dtype not in map(dtype_called, DTYPES)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "y: expected an array"),
        ([1.0, 2.0], "expected an array.*got .1.0, 2.0"),
        ({"dtype": "float32", "shape": [1], "data": "AA=="}, r"holds 1 bytes; float32 of shape \[1\] has 4"),
        ({"dtype": "float32", "shape": [10**18] * 4, "data": "AA=="}, "holds 1 bytes"),
        ({"dtype": "float32", "shape": [0, 10**30], "data": ""}, "y: "),
        ({"dtype": "float32", "shape": [1] * 99, "data": "AACAPw=="}, "y: "),
        ({"dtype": "float32", "shape": [-1], "data": ""}, "shape must be"),
        ({"dtype": "float32", "shape": [True], "data": ""}, "shape must be"),
        ({"dtype": "float32", "shape": 4, "data": ""}, "shape must be"),
        ({"dtype": "f4", "shape": [1], "data": "AACAPw=="}, "unknown dtype 'f4'"),
        ({"dtype": 4, "shape": [1], "data": "AACAPw=="}, "dtype must be"),
        ({"dtype": "float32", "shape": [1], "data": "AAC%Pw=="}, "not base64"),
        ({"dtype": "float32", "shape": [1], "data": "é"}, "not base64"),
        ({"dtype": "float32", "shape": [1], "data": [1.0]}, "data must be"),
        ({"dtype": "float32", "shape": [1], "data": None}, "data is null"),
        ({"dtype": "|O", "shape": [10**12], "data": None}, "data is null"),
    ],
)
def test_what_is_no_array_is_told(value, words):
    with pytest.raises(WireError, match=words):
        from_wire(value, "y")


# --- a player with a mistake is told it ---

TOLD = {
    "other-seq": "seq is 0; it must repeat the request's, 1",
    "prints": "standard output is for one line of JSON a request",
    "twice": "answered more than once",
    "big-endian": "bytes of y are in the wrong order; the wire is little-endian",
    "column-major": "column-major",
    "flat": r"y has shape \[\d+\], not \[4, 3\]",
    "wide": "y is float32, not float64 as x",
    "one-step": "1 of them, without an error; 2 were asked for",
    "other-names": "unknown name 'grad_input'",
    "no-values": "none of values, error, unsupported; it has .'results'",
    "lists": "steps.0..values.y: expected an array",
    "no-list": "steps: expected a list",
    "short-data": "data holds 92 bytes; float64 of shape .4, 3. has 96",
    "not-base64": "data is not base64",
    "one-object": "a training step on session 1 moved session 0",
    "kept": "each request begins with new objects",
    "dies-of-the-unknown": "exit status 1; it last printed: .*KeyError",
    "goes-on": "does not end",
    "not-ok": 'no "ok": true',
    "unknown-preset": "unknown preset 'pytorch'",
    "other-dtypes": "dtypes: expected some of float64.*got 'f32'",
    "other-version": "version 2 of the wire; this bnproof speaks 1",
    "not-utf-8": "not UTF-8",
    "truncated": "within an answer",
}


@pytest.mark.parametrize("mistake", TOLD)
def test_the_author_of_a_wrong_player_is_told_what_is_wrong(mistake):
    wrong = [check.text for check in conformance(player(mistake)) if check.outcome == "wrong"]
    assert wrong
    assert re.search(TOLD[mistake], wrong[0]), wrong


def test_a_right_player_is_told_what_is_not_judged():
    checks = list(conformance(player()))
    assert {check.outcome for check in checks} == {"right", "without"}
    lacking = ["restore", "train_no_grad", "train_jvp", "train_double"]
    assert [check.id for check in checks if check.outcome == "without"] == lacking


# --- and its verdict is its own ---


def test_a_plain_player_agrees():
    with IsolatedTarget(player()) as target:
        report = check_target(target, CheckOptions((RANK2, BY_ID["five_steps"])))
    assert report.verdict == "agree"
    assert report.description.versions == {"plain": "1"}


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("no-json", "could not be read: it is no JSON .*steps: 3"),
        ("not-utf-8", "could not be read: it is not UTF-8"),
        ("endless", "could not be read: it is longer than 1 MiB"),
        ("truncated", "ended with exit status 0 within an answer"),
        ("twice", "could not be read: it answered more than once"),
        ("deep", "could not be read: it is no JSON"),
        ("other-seq", "could not be read: seq is 0; the request's was 1"),
        ("short-data", "could not be read: steps.0..values.y: data holds"),
    ],
)
def test_an_answer_that_breaks_the_wire_is_a_crash(mistake, words, monkeypatch):
    monkeypatch.setattr("harness.targets.channel.BASE_LIMIT", 2**20)
    with IsolatedTarget(player(mistake)) as target:
        death = target.play(RANK2.make("float64", 0, 0.875), 1)
    assert isinstance(death, Death)
    assert death.cause == "crashed"
    assert re.search(words, death.message), death.message


def test_a_late_answer_is_timed_out():
    with IsolatedTarget(player("late"), timeout=0.2) as target:
        death = target.play(RANK2.make("float64", 0, 0.875), 1)
    assert (death.cause, death.message) == ("timed_out", "no answer within 0.2 s of its first call at this shape")


def test_a_player_that_reads_nothing_blocks_nobody():
    deaf = 'import time; print(\'{"ok": true, "implementation": {}}\', flush=True); time.sleep(60)'
    with IsolatedTarget(f"exec:{shlex.join([sys.executable, '-c', deaf])}", timeout=0.2) as target:
        death = target.play(BY_ID["many_values"].make("float64", 0, 0.875), 1)
    assert death.cause == "timed_out"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("exec:", "no command"),
        ("exec:no-such-program --fast", "no program 'no-such-program'"),
        ("exec:sh 'unclosed", "No closing quotation"),
        (player("not-ok"), "did not start"),
        (player("other-dtypes"), "got 'f32'"),
        (player("other-version"), "version 2"),
        (f"{player()}@cuda", "cuda was asked for; it computes on 'cpu'"),
    ],
)
def test_a_player_that_cannot_be_used_says_why(target, words):
    with IsolatedTarget(target) as isolated, pytest.raises(TargetError, match=words):
        isolated.describe()


def test_conventions_that_there_are_not_are_an_error_of_loading():
    with IsolatedTarget(player("unknown-preset")) as target:
        report = check_target(target, CheckOptions((RANK2,)))
    assert "unknown preset 'pytorch'" in report.load_error


def test_fifty_mutated_answers_are_verdicts():
    """`python -m tests.experiments.fuzz_wire` makes two thousand times as many."""
    verdicts = fuzz(50, seed=0)
    assert verdicts.total() == 50
    assert {"crashed", "differ", "agree", "cannot be loaded"} <= {*verdicts}


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("", ""),
        ("a" * 300 + "b", "a" * 199 + "b"),
        ("Traceback ... ValueError: no", "ValueError: no"),
        (
            "node:internal throw err; Error: Cannot find module 'x' " + "at Module " * 90,
            "Error: Cannot find module 'x' at",
        ),
        ("Error: one " * 40 + "TypeError: two", "TypeError: two"),
    ],
)
def test_the_last_words_of_a_process_say_what_went_wrong(printed, shown):
    assert last_words(printed).startswith(shown)
    assert len(last_words(printed)) <= 200


def test_the_last_words_of_one_endless_word_are_there_at_once():
    """A target's message of a megabyte; a search from each of its letters to the end takes many seconds."""
    started = time.process_time()
    assert last_words("x" * PRINTED_KEPT) == "x" * 200
    assert time.process_time() - started < 0.5


def test_a_program_is_not_loaded_as_a_module():
    with pytest.raises(TargetError, match=r"played by `check` and `probe` alone"):
        load("exec:node player.js")


class SignallingNaN(NumpyBatchNorm):
    """What the fuzzer found once: converting such a NaN is an invalid operation, and NumPy warns."""

    dtypes = ("float32",)

    def eval(self, x, dy):
        return super().eval(x, dy) | {"y": np.full(x.shape, 0x7F800001, np.uint32).view(np.float32)}


def test_a_signalling_nan_is_judged_without_a_warning():
    report = check_target(InProcessTarget(SignallingNaN), CheckOptions((RANK2,), diagnosed=False))
    assert report.verdict == "differ"


# --- the manual ---


def conversation():
    """(request, answer) of the transcript in the manual."""
    lines = [line for line in MANUAL.read_text().splitlines() if line.startswith(("-> ", "<- "))]
    sent = [json.loads(line[3:]) for line in lines if line.startswith("-> ")]
    received = [json.loads(line[3:]) for line in lines if line.startswith("<- ")]
    return sent, received


def test_the_transcript_is_what_is_said():
    sent, received = conversation()
    target = launch.Launch(sent[0]["target"])
    printed = Printed()
    process = TargetProcess(target, printed)
    try:
        for request, expected in zip(sent, received, strict=False):
            process.channel.send(json.dumps(request).encode() + b"\n")
            while (line := process.channel.receive(10)) is None:
                pass
            answer = json.loads(line)
            if "implementation" in expected:
                shown = expected.pop("implementation")
                actual = answer.pop("implementation")
                assert shown | {"language": ""} == {name: actual[name] for name in shown} | {"language": ""}
            assert answer == expected
        assert process.end(json.dumps(sent[-1]).encode() + b"\n")
    finally:
        process.end()
        printed.remove()
    assert len(sent) == len(received) + 1


def test_the_manual_names_the_limits_and_every_field():
    text = MANUAL.read_text()
    assert "16 MiB" in text
    for field in ("warm_up", "channel_axis", "layout", "mutated", "overwritten", "malformed", "notes", "exit", "layer"):
        assert f"`{field}`" in text
    for field in replace(description_from({"ok": True}, "cpu")).__dict__:
        assert f"`{field}`" in text, field


def test_a_first_answer_may_say_next_to_nothing():
    description = description_from(answer_from(b'{"ok": true, "implementation": {}}'), "cpu")
    assert (description.conventions, description.dtypes) == (None, ("float64", "float32"))


# --- the same judgements as in process ---

CARRIED = tuple(
    BY_ID[case]
    for case in ("moved_channels", "broadcast_gradient", "read_only_input", "load_into_used", "nan_in_one_channel")
)
"""What a plain player need not know: layouts of memory, saved state; and values that are not finite."""


TARGETS = (WritesIntoInput, FirstAxisTaken, StateIgnored, SharedBuffers, SixteenBits)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_the_wire_changes_no_digit(target):
    """`python -m tests.experiments.wire_verdicts` compares every mutant and honest variant on every case."""
    assert difference(target, CARRIED) == ""
