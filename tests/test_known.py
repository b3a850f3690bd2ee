"""Known differences: what is listed does not count, what no longer differs does."""

import json
from pathlib import Path

import pytest

from harness.cli.summary import summary
from harness.errors import UsageError
from harness.findings import Finding
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.known import excuse, read_known, stale
from harness.judge.report import TargetReport
from tests.forked_command import bnproof

TARGETS = Path(__file__).parent / "targets" / "misbehaving.py"


def report(**verdicts):
    """A target that was played on these cases, with these verdicts."""
    judgements = [
        Judgement(case, "float32", 0, "train", "y", Kind.law, Verdict(verdict), Reason.beyond_bound)
        for case, verdict in verdicts.items()
    ]
    failing = [case for case, verdict in verdicts.items() if verdict != "agree"]
    return TargetReport("it", judgements=judgements, diagnosis=[Finding("eps_wrong", "t", tuple(failing))])


def test_listed_differences_do_not_count():
    target, known = report(rank2="differ", rank3="raised", rank4="agree"), {"rank2": "ticket 7", "rank3": "ticket 8"}
    assert excuse(target, known) == {"rank2", "rank3"}
    assert target.verdict == "known"
    assert target.diagnosis == []
    assert [note.text for note in target.notes] == ["rank2: ticket 7", "rank3: ticket 8"]
    assert stale([target], known, {"rank2", "rank3"}) == []
    assert "ticket 7" in summary([target], [])


def test_what_is_not_listed_still_counts():
    target = report(rank2="differ", rank3="differ")
    assert excuse(target, {"rank2": "ticket 7"}) == {"rank2"}
    assert target.verdict == "differ"
    assert target.diagnosis


def test_a_crash_cannot_be_listed():
    target = report(rank2="crashed")
    assert excuse(target, {"rank2": "ticket 7"}) == set()
    assert target.verdict == "crashed"


def test_an_entry_that_differs_for_one_target_is_not_stale():
    known = {"rank2": "ticket 7", "rank3": "ticket 8", "rank5": "not played"}
    reports = [report(rank2="agree", rank3="agree"), report(rank2="differ", rank3="agree")]
    differed = set().union(*(excuse(target, known) for target in reports))
    assert stale(reports, known, differed) == ["rank3"]


def test_an_entry_that_no_longer_differs_fails(tmp_path):
    known, markdown = tmp_path / "known", tmp_path / "summary.md"
    known.write_text("rank2: was wrong once\nrank5: is not played here\n")
    done = bnproof("check", f"{TARGETS}:Good", "--case", "rank2", "--known", known, "--markdown", markdown)
    assert done.returncode == 1
    assert "no longer differs" in " ".join(done.stderr.split())
    assert "rank2" in done.stderr
    assert "rank5" not in done.stderr
    assert "no longer differ" in markdown.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rank_2: typo", "line 1: no case is called 'rank_2'; did you mean 'rank2'"),
        ("rank2", "expected 'case: reason'"),
        ("rank2:", "expected 'case: reason'"),
        ("rank2: a\nrank2: b", "line 2: 'rank2' is listed twice"),
    ],
)
def test_a_file_that_is_wrong_is_a_usage_error(tmp_path, text, message):
    known = tmp_path / "known"
    known.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_known(known)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_known(tmp_path / "nothing")


def test_a_target_that_differs_only_as_listed_passes(tmp_path):
    known, result = tmp_path / "known", tmp_path / "v.json"
    known.write_text("rank2: no training today\nrank4: no training today\n")
    done = bnproof(
        "check", f"{TARGETS}:Raises", "--case", "rank2", "--case", "rank4", "--known", known, "--json", result
    )
    assert done.returncode == 0, done.stderr
    assert "Raises: known" in done.stdout
    assert json.loads(result.read_text())["targets"][0]["verdict"] == "known"
