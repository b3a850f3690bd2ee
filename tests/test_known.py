"""Known differences: what is listed does not count, what no longer differs does."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.known import read_known

TARGETS = Path(__file__).parent / "targets.py"


def bnproof(*arguments):
    command = [sys.executable, "-m", "harness.cli", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_listed_differences_do_not_count(tmp_path):
    known, markdown = tmp_path / "known", tmp_path / "summary.md"
    known.write_text("# ours\nrank2: no training yet: see ticket 7\n\n")
    done = bnproof(f"{TARGETS}:Raises", "--case", "rank2", "--known", known, "--markdown", markdown)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    assert "no training yet: see ticket 7" in done.stdout
    assert "no training yet" in markdown.read_text()


def test_what_is_not_listed_still_counts(tmp_path):
    known = tmp_path / "known"
    known.write_text("rank2: no training yet\n")
    done = bnproof(f"{TARGETS}:Raises", "--case", "rank2", "--case", "rank4", "--known", known)
    assert done.returncode == 1


def test_an_entry_that_no_longer_differs_fails(tmp_path):
    known, markdown = tmp_path / "known", tmp_path / "summary.md"
    known.write_text("rank2: was wrong once\nrank5: is not played here\n")
    done = bnproof(f"{TARGETS}:Good", "--case", "rank2", "--known", known, "--markdown", markdown)
    assert done.returncode == 1
    assert "no longer differs" in " ".join(done.stderr.split())
    assert "rank2" in done.stderr
    assert "rank5" not in done.stderr
    assert "no longer differ" in markdown.read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rank_2: typo", "line 1: no case is called 'rank_2'; did you mean 'rank2'"),
        ("rank2", "expected 'case: reason'"),
        ("rank2:", "expected 'case: reason'"),
        ("rank2: a\nrank2: b", "line 2: 'rank2' is listed twice"),
    ],
)
def test_a_file_that_is_wrong_is_a_usage_error(tmp_path, text, told):
    known = tmp_path / "known"
    known.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_known(known)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_known(tmp_path / "nothing")
