"""The ledger: whole or refused, in one line that says where and what to do; files are written whole or not at all."""

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UsageError
from harness.place import ROOT
from harness.record import files
from harness.record.compressed import write_compressed
from harness.record.environment import INSTRUCTIONS, environment, own_commit
from harness.record.files import ensure_writable, write_whole
from harness.record.ledger import Ledger, LedgerError, plain
from harness.record.read import read
from tests import ledger_sample as sample

COMMITTED = sorted((ROOT / "reports" / "published").glob("*/ledger.jsonl*"))


def written(path, records=2):
    ledger = Ledger(path, sample.header())
    for number in range(records):
        ledger.add("comparison", sample.comparison("numpy", "y", float(number)))
    ledger.close()
    return path


def refusal(path, **how):
    """What is said of a ledger that does not read: one line that names the file."""
    with pytest.raises(LedgerError) as caught:
        read(path, **how)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def changed(path, change):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))
    return path


# --- whole ledgers ---


def test_a_whole_ledger_reads_back(tmp_path):
    records = read(written(tmp_path / "a" / "ledger.jsonl"))
    assert [comparison.ratio for comparison in records.comparisons] == [0.0, 1.0]
    assert records.footer.counts == {"comparison": 2}


def test_each_record_is_on_disk_before_the_next_is_made(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", sample.header())
    ledger.add("comparison", sample.comparison("numpy", "y"))
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 2
    ledger.close()


def test_non_finite_numbers_are_words_and_come_back(tmp_path):
    record = plain({"a": float("nan"), "b": [np.float32("inf"), -np.inf], "c": np.int64(3), "d": None})
    assert record == {"a": "nan", "b": ["inf", "-inf"], "c": 3, "d": None}
    json.dumps(record, allow_nan=False)
    ledger = Ledger(tmp_path / "l.jsonl", sample.header())
    ledger.add("comparison", sample.comparison("nan", "y", np.inf, error=np.nan, got=-np.inf))
    ledger.close()
    (comparison,) = read(ledger.path).comparisons
    assert (comparison.ratio, comparison.got) == (np.inf, -np.inf)
    assert np.isnan(comparison.error)
    assert comparison.target == "nan"  # a text stays one


def test_fields_and_kinds_of_a_later_version_are_passed_over(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", sample.header() | {"weather": "fine"})
    ledger.add("comparison", sample.comparison("numpy", "y") | {"colour": "blue"})
    ledger.add("dream", {"of": "sheep"})
    ledger.close()
    assert len(read(ledger.path).comparisons) == 1


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_every_committed_ledger_still_reads_and_renders(path, committed_page):
    records = read(path)
    assert records.targets
    page = committed_page(path)
    assert all(target.target in page.read_text(encoding="utf-8") for target in records.targets[:1])


def test_there_are_committed_ledgers_of_both_sorts():
    assert {path.parent.name == "matrix" for path in COMMITTED} == {True, False}


# --- compressed ledgers ---


def test_compressed_it_is_the_same_ledger_and_the_same_bytes_each_time(tmp_path):
    path = written(tmp_path / "l.jsonl", records=200)
    compressed = write_compressed(path)
    first = compressed.read_bytes()
    assert read(compressed) == read(path)
    assert len(first) < path.stat().st_size / 10
    assert write_compressed(path).read_bytes() == first


@pytest.mark.parametrize("keep", [3, 30, 300, -20, -1])
def test_a_compressed_ledger_cut_off_is_refused_in_one_line(tmp_path, keep):
    compressed = write_compressed(written(tmp_path / "l.jsonl", records=200))
    compressed.write_bytes(compressed.read_bytes()[:keep])
    assert "is a damaged gzip file" in refusal(compressed)


def test_a_compressed_ledger_that_was_changed_is_refused(tmp_path):
    compressed = write_compressed(written(tmp_path / "l.jsonl", records=200))
    data = compressed.read_bytes()
    for damaged in (data + b"more", data[:50] + bytes([data[50] ^ 255]) + data[51:]):
        compressed.write_bytes(damaged)
        assert "damaged gzip" in refusal(compressed)


# --- what is wrong with a ledger ---


def test_without_a_footer_it_is_refused_unless_the_run_goes_on(tmp_path):
    path = changed(written(tmp_path / "l.jsonl"), lambda lines: lines[:-1])
    assert "no footer: the run that wrote it did not finish; make it again" in refusal(path)
    records = read(path, whole=False)
    assert len(records.comparisons) == 2
    assert records.footer is None


def test_a_line_half_written_is_left_out_while_the_run_goes_on(tmp_path):
    path = written(tmp_path / "l.jsonl")
    path.write_text(path.read_text()[:-200])
    assert len(read(path, whole=False).comparisons) == 1
    path.write_text(path.read_text().replace("{", "(", 2))
    assert "line 1 is not JSON" in refusal(path, whole=False)  # but only the last line may be


def test_a_lost_record_is_noticed(tmp_path):
    path = changed(written(tmp_path / "l.jsonl"), lambda lines: lines[:1] + lines[2:])
    assert "its footer counts" in refusal(path)


def test_a_line_cut_off_is_named(tmp_path):
    path = written(tmp_path / "l.jsonl")
    path.write_text(path.read_text()[:-10])
    assert "line 4 is not JSON: the ledger was cut off or damaged there" in refusal(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"target,verdict\nnumpy,agree\n", "line 1 is not JSON: no ledger of bnproof"),
        (b"[1, 2]\n", 'line 1 is no record, which is an object with a "type"'),
        (b'{"type": 7}\n', "line 1 is no record"),
        (b'{"type": "header", "schema": "other/1"}\n', "line 1 is no header of schema bnproof/1"),
        (b'{"cells": [], "type": "notebook"}\n', "line 1 is no header of schema bnproof/1"),
        (b"\xff\xfe{\x00}\x00", "line 1 is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "line 1 is not UTF-8"),
        (b"[" * 100_000, "line 1 is not JSON"),
        (b"9" * 10_000, "line 1 is not JSON"),
        (b'{"type": "header", "schema": "bnproof/1"}\n', "line 1: a header record does not fit"),
    ],
)
def test_what_is_no_ledger_is_refused(tmp_path, content, message):
    path = tmp_path / "l.jsonl"
    path.write_bytes(content)
    assert message in refusal(path)


@pytest.mark.parametrize(
    ("kind", "record", "where"),
    [
        ("comparison", sample.comparison("numpy", "y") | {"verdict": "maybe"}, "$.verdict"),
        ("comparison", sample.comparison("numpy", "y") | {"ratio": "much"}, "$.ratio"),
        ("comparison", {"target": "numpy"}, "`case`"),
        ("target", sample.target("numpy") | {"conventions": sample.D2L | {"momentum": "sideways"}}, "$.conventions"),
        ("training", sample.training("torch") | {"history": [{"epoch": 1}]}, "$.history[0]"),
        ("throughput", sample.throughput("torch") | {"clock": "sundial"}, "$.clock"),
        ("pair", sample.pair("numpy", "torch") | {"verdict": None}, "$.verdict"),
    ],
)
def test_a_record_that_does_not_fit_its_type_is_named(tmp_path, kind, record, where):
    ledger = Ledger(tmp_path / "l.jsonl", sample.header())
    ledger.add(kind, record)
    ledger.close()
    message = refusal(ledger.path)
    assert f"line 2: a {kind} record does not fit" in message
    assert where in message


def test_half_a_character_in_somebodys_words_does_not_spoil_the_ledger(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", sample.header())
    ledger.add("comparison", sample.comparison("norm\udcff.py:Norm", "y", message="half a character: \ud800"))
    ledger.close()
    (comparison,) = read(ledger.path).comparisons
    assert (comparison.target, comparison.message) == ("norm\\udcff.py:Norm", "half a character: \\ud800")


def test_bytes_in_the_middle_that_are_not_utf8_are_named(tmp_path):
    path = written(tmp_path / "l.jsonl")
    path.write_bytes(path.read_bytes().replace(b"rank4", b"rank\xe9", 1))
    assert "line 2 is not UTF-8" in refusal(path)


def test_two_ledgers_in_one_file_are_refused(tmp_path):
    path = changed(written(tmp_path / "l.jsonl"), lambda lines: [*lines, *lines])
    assert "line 5" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "l.jsonl")
    assert "Is a directory" in refusal(tmp_path)


def test_without_msgspec_the_command_to_install_it_is_said(tmp_path, monkeypatch):
    path = written(tmp_path / "l.jsonl")  # writing takes no msgspec
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(UsageError, match=r"pip install msgspec$"):
        read(path)


# --- what stood there before ---


def test_an_earlier_ledger_is_kept_under_its_date(tmp_path):
    path = written(tmp_path / "ledger.jsonl", records=1)
    write_compressed(path)
    first = path.read_bytes()
    written(path, records=3)
    path.write_text("no ledger")
    os.utime(path, (0, 0))
    written(path)
    made = datetime.fromisoformat(sample.header()["made"]).astimezone(UTC)
    stem = f"ledger-{made:%Y%m%dT%H%M%SZ}"
    kept = {file.name for file in (tmp_path / "earlier").iterdir() if file.suffix == ".jsonl"}
    assert kept == {f"{stem}.jsonl", "ledger-19700101T000000Z.jsonl"}
    assert (tmp_path / "earlier" / f"{stem}.jsonl").read_bytes() == first
    assert len([*(tmp_path / "earlier").glob("*.jsonl.gz")]) == 1
    written(written(path))
    assert (tmp_path / "earlier" / f"{stem}-1.jsonl").exists()


@pytest.mark.parametrize(("finished", "goes_on", "kept"), [(1, 1, 1), (1, 0, 1), (0, 0, 1), (0, 1, 0)])
def test_an_unfinished_one_goes_only_where_its_own_run_goes_on(tmp_path, finished, goes_on, kept):
    path = changed(written(tmp_path / "ledger.jsonl"), lambda lines: lines if finished else lines[:-1])
    again = Ledger(path, sample.header(), goes_on=bool(goes_on))
    again.close()
    assert len(again.aside) == kept
    assert all(file.exists() for file in again.aside)


HOLDS = """
import sys
from pathlib import Path
from harness.record.earlier import lock
held = lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_two_runs_do_not_write_one_ledger_and_a_dead_one_holds_nothing(tmp_path):
    path = written(tmp_path / "ledger.jsonl")
    before = path.read_bytes()
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LedgerError, match=r"^another run is writing .*ledger.jsonl: wait for it, or name"):
            Ledger(path, sample.header())
        assert path.read_bytes() == before
        other.kill()
    written(path)


# --- places that cannot be written ---


def test_an_unwritable_place_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="name another place"):
        Ledger(tmp_path / "file" / "ledger.jsonl", sample.header())
    for write in (ensure_writable, lambda path: write_whole(path, "text")):
        with pytest.raises(UsageError, match="name another place"):
            write(tmp_path / "file" / "page.html")
        with pytest.raises(UsageError, match="Is a directory"):
            write(tmp_path)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB; skipped where none can be mounted: then /dev/full and the injected errors remain."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_leaves_what_was_there(full_disk):
    page = full_disk / "page.html"
    write_whole(page, "as before")
    with pytest.raises(UsageError, match=r"cannot write .*page.html: No space left on device"):
        write_whole(page, "x" * 100_000)
    assert page.read_text() == "as before"
    assert [path.name for path in full_disk.iterdir()] == ["page.html"]


def test_a_ledger_on_a_full_disk_ends_in_one_line_and_still_shows_what_it_holds(full_disk):
    ledger = Ledger(full_disk / "l.jsonl", sample.header())

    def fill():
        for _ in range(1000):
            ledger.add("comparison", sample.comparison("numpy", "y"))

    with pytest.raises(LedgerError, match="No space left on device"):
        fill()
    assert len(read(ledger.path, whole=False).comparisons) > 100


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_device_that_is_full():
    with pytest.raises(LedgerError, match="No space left on device"):
        Ledger(Path("/dev/full"), sample.header())
    with pytest.raises(UsageError, match="No space left on device"):
        write_whole(Path("/dev/full"), "text")
    assert Path("/dev/full").is_char_device()  # it was not replaced by a file


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_an_error_while_writing_leaves_no_half_file(tmp_path, monkeypatch, code):
    target = tmp_path / "v.json"
    target.write_text("as before")

    def half(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(code, "half")

    monkeypatch.setattr(files.Path, "write_bytes", half)
    with pytest.raises(UsageError, match="cannot write"):
        write_whole(target, "new text")
    assert target.read_text() == "as before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    code = "import pathlib, harness.record.files as f; f.write_whole(pathlib.Path('/dev/stdout'), 'x')"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout == "x"
    with (tmp_path / "redirected").open("w") as file:
        subprocess.run(command, stdout=file, cwd=ROOT, check=True)
    assert (tmp_path / "redirected").read_text() == "x"


def test_what_utf8_cannot_hold_is_written_as_its_escape(tmp_path):
    write_whole(tmp_path / "a" / "t.md", "a\ud800b✓")
    assert (tmp_path / "a" / "t.md").read_text(encoding="utf-8") == "a\\ud800b✓"


# --- the environment ---


def test_the_commit_is_that_of_the_repository_itself_and_never_of_a_surrounding_one(tmp_path):
    def git(*arguments):
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    inner = tmp_path / "vendored"
    inner.mkdir()
    assert own_commit(inner) is None
    git("init", "-q")
    assert own_commit(tmp_path) is None  # there is no commit yet
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert own_commit(tmp_path) == git("rev-parse", "--short", "HEAD")
    assert own_commit(inner) is None


def test_an_environment_says_what_is_installed():
    assert environment().packages["numpy"] == np.__version__


def test_an_environment_says_which_instructions_libraries_may_not_use(monkeypatch):
    for name in INSTRUCTIONS:
        monkeypatch.delenv(name, raising=False)
    assert environment().machine.endswith(" cores")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert environment().machine.endswith(" cores, OPENBLAS_CORETYPE=Haswell")
