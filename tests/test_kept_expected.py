"""What is expected is kept to the bit, and looked up by all that it hangs on; what is damaged is computed anew."""

import hashlib
import os
import sys
import zlib
from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.judge import kept_expected as kept
from harness.judge import on_disk, oracle
from harness.judge.expected import Expected, expect
from harness.judge.kept_expected import kept_expected, wider_expected
from harness.targets.compilation_cache import make_room
from reference.conventions import PRESETS
from reference.error_bounds import precision_of

TORCH = PRESETS["torch"]


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("BNPROOF_EXPECTED", "keep")
    kept.folder.cache_clear()
    yield
    kept.folder.cache_clear()


def script_of(case, dtype, seed=0):
    return BY_ID[case].make(dtype, seed, 0.9)


def arrays_of(step):
    of_shares = {f"share {name}": np.asarray((s.oracle, s.evaluation)) for name, s in step.shares.items()}
    return {
        **{f"value {name}": array for name, array in step.values.items()},
        **{f"bound {name}": np.asarray(array) for name, array in step.bounds.items()},
        **of_shares,
    }


def assert_same(a, b):
    assert len(a) == len(b)
    for mine, theirs in zip(map(arrays_of, a), map(arrays_of, b), strict=True):
        assert list(mine) == list(theirs)
        for name, array in mine.items():
            assert (array.dtype, array.shape) == (theirs[name].dtype, theirs[name].shape), name
            assert np.array_equal(array, theirs[name], equal_nan=True), name
            assert np.array_equal(np.signbit(array), np.signbit(theirs[name])), name
            in_memory = [np.argsort([-stride for stride in each.strides]).tolist() for each in (array, theirs[name])]
            if min(array.shape, default=1) > 1 and 0 not in array.strides:
                assert in_memory[0] == in_memory[1], name
    for name in ("raises", "undeclared", "absent"):
        assert [getattr(step, name) for step in a] == [getattr(step, name) for step in b]


@pytest.mark.parametrize(
    ("case", "dtype"),
    [("rank4", "float32"), ("rank5", "float64"), ("one_value", "float32"), ("nan_in_one_channel", "float64"),
     ("empty_batch", "float32"), ("five_steps", "float32"), ("sixteen_bits", "bfloat16")],
)  # fmt: skip
@pytest.mark.parametrize("summation", ["any", "pairwise"])
def test_what_is_read_is_what_was_computed(case, dtype, summation, monkeypatch):
    script = script_of(case, dtype)
    computed = expect(script, TORCH, summation=summation)
    assert_same(kept_expected(script, TORCH, summation), computed)
    monkeypatch.setattr(kept, "expect", None)  # from now on it must come from the disk
    assert_same(kept_expected(script, TORCH, summation), computed)


@pytest.mark.parametrize(
    "wider",
    [
        {"any_mode": True},
        {"fast_variance": True},
        {"precision": precision_of("bfloat16")},
        {"kept": precision_of("float16")},
    ],
    ids=str,
)
def test_wider_bounds_are_kept_beside_the_own_ones(wider, monkeypatch):
    script = script_of("rank2", "float32")
    own = kept_expected(script, TORCH)
    computed = expect(script, TORCH, **wider)
    assert_same(wider_expected(script, TORCH, **wider), computed)
    monkeypatch.setattr(kept, "expect", None)
    assert_same(wider_expected(script, TORCH, **wider), computed)
    assert_same(kept_expected(script, TORCH), own)
    assert any((after.bounds["y"] > before.bounds["y"]).any() for before, after in zip(own, computed, strict=True))


@pytest.mark.parametrize(("case", "is_kept"), [("rank2", False), ("many_values", True)])
def test_wider_bounds_of_another_seed_or_of_many_values_are_not_kept(case, is_kept, tmp_path):
    script = script_of(case, "float16" if is_kept else "float32")
    if is_kept:
        kept_expected(script, TORCH)
    wider_expected(script, TORCH, any_mode=True)
    assert len(list((tmp_path / "bnproof").glob("expected/*"))) == is_kept


def test_each_thing_that_matters_has_a_file_of_its_own(tmp_path, monkeypatch):
    def files():
        return len(list((tmp_path / "bnproof" / "expected").iterdir()))

    script = script_of("rank2", "float32")
    other = replace(script, steps=(replace(script.steps[0], x=script.steps[0].x + 1), *script.steps[1:]))
    for number, (given, conventions, summation) in enumerate(
        [(script, TORCH, "any"), (other, TORCH, "any"), (script, PRESETS["d2l"], "any"), (script, TORCH, "wide")], 1
    ):
        kept_expected(given, conventions, summation)
        kept_expected(given, conventions, summation)
        assert files() == number
    monkeypatch.setattr(kept, "_ground", lambda: "other sources, or another processor")
    kept_expected(script, TORCH, "any")
    assert files() == 5


@dataclass(frozen=True)
class One:
    of: object


@dataclass(frozen=True)
class Other:
    of: object


ZEROS = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ZEROS, ZEROS.T.copy()),
        (ZEROS, ZEROS.view(np.int32)),
        (((1,), (2,)), ((1, 2), ())),
        (One(1), Other(1)),
        (One(ZEROS), One(ZEROS + 1)),
        ("1", 1),
    ],
    ids=["shape", "dtype", "nesting", "class", "field", "text"],
)
def test_what_has_the_same_bytes_is_told_apart(one, other):
    def fed(value):
        digest = hashlib.sha256()
        kept._feed(digest, value)
        return digest.hexdigest()

    assert fed(one) == fed(one)
    assert fed(one) != fed(other)


def test_values_of_another_precision_of_the_oracle_are_not_taken(monkeypatch):
    script = script_of("rank2", "float64")
    before = kept._key(script, TORCH, "any", {})
    assert kept._key(script, TORCH, "any", {}) == before
    monkeypatch.setattr(kept, "oracle_dtype", lambda _: np.dtype(np.float64))
    assert kept._key(script, TORCH, "any", {}) != before


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:9] + b"7" + b[10:], lambda _: b""])
def test_what_is_damaged_is_computed_anew(damage, tmp_path):
    script = script_of("rank2", "float32")
    computed = kept_expected(script, TORCH, "any")
    (file,) = (tmp_path / "bnproof" / "expected").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_same(kept_expected(script, TORCH, "any"), computed)
    assert file.read_bytes() == whole


def test_what_several_steps_share_is_written_once_and_shared_again():
    narrow, wide = np.zeros(3, np.float16), np.ones(400, np.longdouble)
    step = Expected({"y": narrow}, {"y": wide})
    once, twice = on_disk.written([step]), on_disk.written([step, step])
    assert len(twice) - len(once) < wide.nbytes
    first, second = on_disk.read(twice)
    assert first.bounds["y"] is second.bounds["y"]
    assert first.bounds["y"].flags.aligned  # though six bytes come before it


def test_nothing_is_kept_unless_asked_for_or_without_a_place(monkeypatch, tmp_path):
    script = script_of("rank2", "float32")
    monkeypatch.setenv("BNPROOF_EXPECTED", "compute")
    kept_expected(script, TORCH, "any")
    assert not (tmp_path / "bnproof").exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("BNPROOF_EXPECTED", "keep")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert_same(kept_expected(script, TORCH, "any"), expect(script, TORCH))


def test_files_that_vanish_meanwhile_do_not_stop_the_clearing(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(10))

    class Entries(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            (tmp_path / "b").unlink(missing_ok=True)

    def listed(folder):
        with scandir(folder) as entries:
            found = Entries(entries)
        (tmp_path / "b").unlink()
        return found

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", listed)
    make_room(tmp_path, 10)
    monkeypatch.undo()
    assert len([*tmp_path.iterdir()]) == 1


@pytest.fixture
def quadruple(monkeypatch):
    """As where longdouble is no wider than float64."""
    library = pytest.importorskip("numpy_quaddtype")
    monkeypatch.setattr(oracle, "LONGDOUBLE_IS_WIDER", False)
    return library.QuadPrecDType()


@pytest.mark.parametrize("case", ["rank4", "one_value", "nan_in_one_channel", "empty_batch", "double_two_values"])
def test_quadruple_precision_is_read_as_it_was_computed(case, quadruple, monkeypatch):
    script = script_of(case, "float64")
    computed = expect(script, TORCH)
    assert all(value.dtype == quadruple for step in computed for value in step.values.values())
    assert_same(kept_expected(script, TORCH), computed)
    monkeypatch.setattr(kept, "expect", None)
    assert_same(kept_expected(script, TORCH), computed)


def test_quadruple_precision_of_another_release_is_computed_anew(quadruple, monkeypatch):
    script = script_of("rank2", "float64")
    before = kept._key(script, TORCH, "any", {})
    monkeypatch.setattr(sys.modules[quadruple.type.__module__], "__version__", "the next")
    assert kept.arithmetic(quadruple).endswith("the next")
    assert kept._key(script, TORCH, "any", {}) != before


def test_quadruple_precision_that_was_not_written_where_it_must_stand_is_read_all_the_same(quadruple):
    """Of an address that is no multiple of 16, numpy_quaddtype reads by ending its process."""
    written = on_disk.written([Expected({"y": np.arange(3, dtype=np.float64).astype(quadruple)})])
    head, blocks = written[4:].split(b"\n", 1)
    head = head.replace(b"[3], [0], 0]", b"[3], [0], 8]")
    content = head + b"\n" + bytes(8) + blocks
    (step,) = on_disk.read(zlib.crc32(content).to_bytes(4, "big") + content)
    assert (step.values["y"] == np.arange(3)).all()


@pytest.mark.usefixtures("quadruple")
def test_quadruple_precision_is_not_read_where_it_is_not_in_use(monkeypatch):
    content = on_disk.written(expect(script_of("rank2", "float64"), TORCH))
    assert on_disk.read(content)
    monkeypatch.delitem(sys.modules, "numpy_quaddtype")
    with pytest.raises(ValueError, match="its arrays are no QuadPrec"):
        on_disk.read(content)
