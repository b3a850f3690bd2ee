"""What is refused and in which words; what is forgotten, or not kept; and what a case is said to leave open."""

import json
import zlib
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest

from harness.cases.case import Case
from harness.judge import kept_bounds, kept_expected, on_disk
from harness.judge.coverage import not_judged
from harness.judge.expected import Expected, expect
from harness.judge.explain import central_difference, gradient_check, not_shown, resolution
from harness.judge.known import read_known
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import forget_prepared, prepare
from harness.judge.report import TargetReport
from reference.batch_norm import BatchNorm
from reference.conventions import D2L, conventions_from
from reference.error_bounds import precision_of
from reference.statistics_error import denominator
from reference.summation_error import summation_error

CASE = Case("by_hand", "", shape=(6, 5, 2), script=("train", "train", "eval", "restore"))
ONES = np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BatchNorm(0), ValueError, "num_features must be at least 1, got 0"),
        (lambda: BatchNorm(2, dtype=np.int32), TypeError, "dtype must be a floating-point type, got int32"),
        (lambda: denominator(ONES, 1e-5, "beside"), ValueError,
         "eps_at is 'beside'; supported: inside_sqrt, outside_sqrt"),
        (lambda: summation_error(np.ones((3, 2)), 1e-7, "sideways"), ValueError,
         "summation is 'sideways'; supported: any, pairwise, pairwise_in_order, wide"),
        (lambda: precision_of("int8"), ValueError,
         "no error bound for dtype 'int8'; supported: float64, float32, bfloat16, float16"),
        (lambda: conventions_from("mine"), ValueError,
         "conventions: unknown preset 'mine'; the presets are d2l, torch, flax, keras, onnx"),
        (lambda: on_disk.written([Expected(values={"y": {1}})]), on_disk.NotKeptError, "set"),
    ],
)  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error) as refusal:
        call()
    assert str(refusal.value) == message


def test_conventions_are_their_own_declaration():
    assert conventions_from(D2L) is D2L


def test_what_was_written_for_other_fields_is_not_read():
    content = json.dumps({"names": ["values"], "steps": []}).encode() + b"\n"
    with pytest.raises(ValueError, match="it has other fields"):
        on_disk.read(zlib.crc32(content).to_bytes(4, "big") + content)


def test_the_oldest_bounds_are_forgotten(monkeypatch):
    monkeypatch.setattr(kept_bounds, "_kept", OrderedDict())
    monkeypatch.setattr(kept_bounds, "KEPT", 2)
    layer, precision = OracleLayer(2, 1e-5, 0.9, D2L), precision_of("float32")
    batches = [np.arange(6.0).reshape(3, 2) + shift for shift in range(3)]

    def bounds(rows):
        return kept_bounds.kept_train_bounds(rows, rows, layer, precision, np.zeros(2), "any")

    first = bounds(batches[0])
    assert bounds(batches[0])["y"] is first["y"]
    assert not first["y"].flags.writeable
    bounds(batches[1])
    assert bounds(batches[0])["y"] is first["y"]
    bounds(batches[2])
    assert len(kept_bounds._kept) == 2
    assert bounds(batches[0])["y"] is not first["y"]


def test_prepared_cases_are_forgotten_on_demand():
    from harness.cases.catalogue import BY_ID

    first = prepare(BY_ID["rank2"], "float32", 5, D2L)
    assert prepare(BY_ID["rank2"], "float32", 5, D2L) is first
    forget_prepared()
    assert prepare(BY_ID["rank2"], "float32", 5, D2L) is not first


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("BNPROOF_EXPECTED", "keep")

    def no_space(*_):
        raise OSError("no space left on device")

    kept_expected.folder.cache_clear()
    monkeypatch.setattr(kept_expected.os, "replace", no_space)
    script = CASE.make("float32", 0, 0.875)
    found = kept_expected.kept_expected(script, D2L, "any")
    kept_expected.folder.cache_clear()
    np.testing.assert_array_equal(found[0].values["y"], expect(script, D2L)[0].values["y"])
    assert not list((tmp_path / "bnproof" / "expected").iterdir())


def test_comments_and_empty_lines_are_no_known_differences(tmp_path):
    known = tmp_path / "known"
    known.write_text("# nothing\n\n   \n  # rank3: no\nrank2 :  ticket 7: again \n")
    assert read_known(known) == {"rank2": "ticket 7: again"}


def test_of_a_target_that_was_not_judged_nothing_is_said():
    assert not_judged(TargetReport("t")) == ""


# --- what a case leaves open ---


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ["strides"]),
        ({"layout": "sliced"}, []),
        ({"shape": (200, 5, 2)}, ["Bessel's factor: n/(n-1) = 1.00251 is all", "strides"]),
        ({"shape": (1, 5, 1)}, ["anything of the variance", "nothing by a wrong shape", "strides"]),
        ({"shape": (6, 5)}, ["wrong spatial axes", "strides"]),
        ({"shape": (5, 5, 2)}, ["nothing by a wrong shape", "strides"]),
        ({"script": ("eval", "restore")}, ["training", "how the moving statistics go on", "strides"]),
        ({"script": ("train", "train_no_grad")}, ["prediction", "what is saved and restored", "strides"]),
        ({"script": ("train", "eval", "restore_used")}, ["how the moving statistics go on", "strides"]),
    ],
)
def test_what_a_case_does_not_show(fields, words):
    lines = list(not_shown(replace(CASE, **fields)))
    assert [line[: len(word)] for line, word in zip(lines, words, strict=True)] == words


def test_how_narrow_the_bounds_of_a_case_are():
    (line,) = resolution(replace(CASE, dtypes=("float32",)), 0)
    label, _, listed = line.partition(": ")
    widest = dict(part.rsplit(" ", 1) for part in listed.split(", "))
    assert label == "float32"
    assert [*widest] == ["y", "dx", "dgamma", "dbeta", "moving_mean", "moving_var", "eval y", "eval dx", "eval dgamma",
                         "eval dbeta"]  # fmt: skip
    assert all(1e-8 < float(share) < 1e-4 for share in widest.values())
    far = replace(CASE, dtypes=("bfloat16",), data=lambda _, shape: np.full(shape, 1e6), script=("train",))
    assert "; nothing of dgamma, dx, moving_var, y" in next(resolution(far, 0))


def test_finite_differences_beside_the_gradient():
    by_double, by_single, of_ones = gradient_check(CASE, 0)
    assert by_double.startswith("float64: at best ")
    assert "proves something" in by_double
    assert by_single.startswith("float32: at best ")
    assert of_ones.startswith("a dy of ones proves nothing anywhere")
    nothing = ["it has no ordinary training step"]
    assert list(gradient_check(replace(CASE, script=("eval",)), 0)) == nothing
    assert list(gradient_check(replace(CASE, shape=(1, 5)), 0)) == nothing


def test_a_central_difference_errs_by_its_width_and_by_rounding():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 12, 3))
    wide, narrow, tiny = (central_difference(x, dy, 1e-5, np.dtype(np.float64), w).off for w in (1e-1, 1e-4, 1e-12))
    assert narrow < 1e-6 < wide
    assert narrow < tiny
    assert central_difference(x, dy, 1e-5, np.dtype(np.float32), 1e-4).off > 10 * narrow
    with np.errstate(all="ignore"):
        lost = central_difference(x * np.inf, dy, 1e-5, np.dtype(np.float64), 1e-4)
    assert lost.off == np.inf
