"""The file of known differences: what is read of it, and what is said of a line that cannot be."""

import pytest

from harness.errors import UsageError
from harness.judge.known import read_known


def read(tmp_path, *lines):
    path = tmp_path / "known"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_known(path)


def test_comments_and_empty_lines_are_passed_over(tmp_path):
    lines = ("# the library's own", "", "rank2: ticket 7", "   ", "  # as well", " rank3 :  a: b ")
    assert read(tmp_path, *lines) == {"rank2": "ticket 7", "rank3": "a: b"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rank3", "line 2: expected 'case: reason', got 'rank3'"),
        ("rank2: again", "line 2: 'rank2' is listed twice"),
        ("rankk3: x", "line 2: no case is called 'rankk3'; did you mean 'rank3'?"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, line, words):
    with pytest.raises(UsageError) as raised:
        read(tmp_path, "rank2: ticket 7", line)
    assert words in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*: No such file"):
        read_known(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"cannot read .*utf-8"):
        read_known(tmp_path / "binary")
