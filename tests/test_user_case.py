"""A user's own arrays: what is wrong with a file is said in one line, and nothing in it is unpickled."""

import pickle
import warnings
import zipfile

import ml_dtypes
import numpy as np
import pytest

from harness.cases.user_case import user_case
from harness.errors import UsageError
from tests.in_process import checked
from tests.targets.mutants.right import D2l, Torch

X = np.arange(12.0).reshape(4, 3)


class LeavesAMark:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    return tmp_path / "x.npz"


def message_of(path):
    with pytest.raises(UsageError) as raised:
        user_case(path)
    message = str(raised.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros(5)}, "x must have rank 2 to 5, (N, C) or (N, C, ...); it has shape (5,)"),
        ({"x": np.float32(1)}, "it has shape ()"),
        ({"x": np.zeros((0, 3))}, "x is empty, it has shape (0, 3)"),
        ({"x": np.zeros((4, 0))}, "x is empty, it has shape (4, 0)"),
        ({"x": np.zeros((4, 3, 0))}, "x is empty"),
        ({"x": X.astype(int)}, "x must be floating-point, it is int64; save it as float32"),
        ({"x": X.astype(complex)}, "x must be floating-point, it is complex128"),
        ({"x": X.astype(ml_dtypes.bfloat16)}, "x must be floating-point"),
        ({"x": X.astype(str)}, "x must be floating-point"),
        ({"x": X * np.nan}, "x holds no finite number"),
        ({"x": X, "gamma": np.full(3, np.inf)}, "gamma holds no finite number"),
        ({"x": X, "gamma": np.ones(4)}, "gamma must have shape (3,) to go with x's 3 channels on axis 1; it has (4,)"),
        ({"x": X, "dy": X.T}, "dy must have shape (4, 3)"),
        ({"x": X, "eps": np.float64(1)}, "unknown array 'eps'"),
        ({"gamma": np.ones(3)}, "no array 'x'"),
        ({}, "no array 'x'"),
    ],
)
def test_wrong_arrays_are_one_clear_line(tmp_path, arrays, words):
    assert words in message_of(saved(tmp_path, **arrays))


@pytest.mark.parametrize("name", ["x", "gamma"])
def test_python_objects_are_refused_and_not_unpickled(tmp_path, name):
    objects = np.array([LeavesAMark(str(tmp_path / "mark"))] * 3, dtype=object)
    message = message_of(saved(tmp_path, **({"x": X} | {name: objects})))
    assert f"{name} is an array of Python objects, which is not loaded" in message
    assert f"numpy.savez(path, {name}={name}.astype('float32'))" in message
    assert not (tmp_path / "mark").exists()


def single_array(path):
    with path.open("wb") as file:
        np.save(file, X)


def truncated_archive(path):
    np.savez(path, x=X)
    path.write_bytes(path.read_bytes()[:-40])


def archive_of_text(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", "no array")


def archive_without_suffix(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "no array")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("x = 1"),
        lambda path: path.write_bytes(pickle.dumps({"x": 1})),
        single_array,
        lambda path: path.mkdir(),
        truncated_archive,
        archive_of_text,
        archive_without_suffix,
    ],
    ids=["empty", "text", "pickle", "npy", "folder", "truncated", "archive of text", "archive without suffix"],
)
def test_a_file_that_is_no_archive_of_arrays_says_how_to_write_one(tmp_path, write):
    write(tmp_path / "x.npz")
    assert "cannot be read as an .npz file; write it with numpy.savez(path, x=x)" in message_of(tmp_path / "x.npz")


def test_a_missing_file_is_named(tmp_path):
    assert "there is no file" in message_of(tmp_path / "x.npz")


def test_what_is_given_replaces_what_would_be_drawn(tmp_path):
    gamma = np.array([1.0, -2.0, 0.5])
    case = user_case(saved(tmp_path, x=X, gamma=gamma))
    script = case.make("float32", 0, 0.9)
    assert (case.shape, case.source) == ((4, 3), str(tmp_path / "x.npz"))
    assert all(setup.gamma.dtype == np.float32 and np.array_equal(setup.gamma, gamma) for setup in script.setups)
    assert all(step.x.dtype == np.float32 and np.array_equal(step.x, X) for step in script.steps)
    assert len({step.dy.tobytes() for step in script.steps}) == len(script.steps)


def test_some_values_that_are_not_finite_are_allowed(tmp_path):
    x = X.copy()
    x[0, 1] = np.nan
    assert np.isnan(user_case(saved(tmp_path, x=x)).make("float64", 0, 0.9).steps[0].x).sum() == 1


# --- where squares overflow, honest layers differ ---


class Wrong(D2l):
    def output(self, x_hat):
        return x_hat + self.along(self.beta, x_hat)


def judged(tmp_path, layer, x, dtypes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return checked(
            type(layer.__name__, (layer,), {"dtypes": dtypes}),
            cases=(user_case(saved(tmp_path, x=x)),),
            diagnosed=False,
        )


@pytest.mark.parametrize("layer", [D2l, Torch])
def test_squares_that_overflow_are_noted_and_no_verdict_hangs_on_them(tmp_path, layer):
    report = judged(tmp_path, layer, X * 1e30, ("float32",))
    assert report.verdict != "differ"
    assert not any(judgement.counts_against for judgement in report.judgements)
    assert "overflow" in {note.id for note in report.notes}
    in_wide = judged(tmp_path, layer, X * 1e30, ("float64",))  # where they do not
    assert in_wide.verdict == "agree"
    assert "overflow" not in {note.id for note in in_wide.notes}


def test_a_channel_that_overflows_excuses_no_other(tmp_path):
    x = X * np.array([1.0, 1e30, 1.0])
    assert judged(tmp_path, D2l, x, ("float32",)).verdict == "agree"
    assert judged(tmp_path, Wrong, x, ("float32",)).verdict == "differ"
    assert judged(tmp_path, Wrong, X * 1e30, ("float32",)).verdict != "differ"
    assert judged(tmp_path, Wrong, X * 1e30, ("float64",)).verdict == "differ"
