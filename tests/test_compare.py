"""What `bnproof compare` says of two files of results, and the forms in which CIs show verdicts."""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from harness.cli import annotations, junit
from harness.cli.app import app
from harness.judge.judgement import Judgement, Kind, Reason, Verdict
from harness.judge.report import TargetReport
from harness.record.kinds import TargetVerdict
from harness.record.results import Comparison, Place, TargetResult, results_in
from reports.compare import RANKS, Change, compare, details
from reports.compare_text import as_markdown, as_output
from tests import ledger_sample as sample
from tests.test_markdown import faults, tables

Y = Place("large_mean", "float32", 0, "y")
DX = Place("large_mean", "float32", 0, "dx")
STEP = Place("large_mean", "float32", 0, "")
OTHER_CASE = Place("rank4", "float32", 0, "y")
HOSTILE = sample.HOSTILE + "\x00\x1b[31m\u202e\ud800::error::x"


def result(verdict="agree", law=None, **more):
    law = {place: Comparison(Verdict(word), ratio, "why") for place, (word, ratio) in (law or {}).items()}
    return TargetResult("mine", TargetVerdict(verdict), {"torch": "2.9"}, law=law, **more)


GOOD = {Y: ("agree", 0.5), DX: ("agree", 0.25)}
CHANGES = {
    "the same": (result(law=GOOD), result(law=GOOD), Change.none, []),
    "a comparison differs now": (
        result(law=GOOD),
        result("differ", GOOD | {Y: ("differ", 3e7)}),
        Change.worse,
        ["large_mean in float32, step 0, y: agree (0.50 bounds) → differ (3.0×10⁷ bounds)"],
    ),
    "a step raises now": (
        result(law=GOOD),
        result("raised", {STEP: ("raised", None)}),
        Change.worse,
        ["large_mean in float32, step 0: agree (0.50 bounds) → raised"],
    ),
    "more differs, under the same verdict": (
        result("differ", GOOD | {Y: ("differ", 3.0)}),
        result("differ", {Y: ("differ", 3.0), DX: ("differ", 4.0)}),
        Change.worse,
        ["large_mean in float32, step 0, dx: agree (0.25 bounds) → differ (4.0 bounds)"],
    ),
    "a step does not raise any more": (
        result("raised", {STEP: ("raised", None)}),
        result(law=GOOD),
        Change.better,
        ["large_mean in float32, step 0: raised → agree (0.50 bounds)"],
    ),
    "a case is new, and differs; the verdict says so": (
        result("differ", GOOD | {Y: ("differ", 3.0)}),
        result("differ", GOOD | {Y: ("differ", 3.0), OTHER_CASE: ("differ", 9.0)}),
        Change.none,
        [],
    ),
    "no longer judged": (
        result(law=GOOD),
        result(law=GOOD | {DX: ("unsupported", None)}),
        Change.worse,
        ["1 comparison that agreed: no longer judged"],
    ),
    "only known now": (result(law=GOOD), result("known", GOOD | {Y: ("known", 2.0)}), Change.none, []),
    "inconclusive now": (result(law=GOOD), result(law=GOOD | {Y: ("inconclusive", 0.1)}), Change.none, []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed(name):
    before, after, change, lines = CHANGES[name]
    (target,) = compare([before], [after]).targets
    assert target.change is change
    assert details(target, at_most=3) == lines
    assert compare([before], [after]).is_worse is (change is Change.worse)


def test_a_target_that_is_gone_is_worse_and_a_new_one_is_not():
    gone, new = compare([result()], []), compare([], [result("differ")])
    assert gone.is_worse
    assert gone.sentence == "mine is worse; 0 as good as before."
    assert not new.is_worse
    assert new.sentence == "Nothing is worse, and nothing better: 1 target compared."


def test_every_verdict_has_one_rank():
    assert sorted(verdict for rank in RANKS for verdict in rank) == sorted(TargetVerdict)


def many(number, verdict="agree", ratio=0.5):
    law = {
        Place(f"case_{case}", "float64", step, "y"): Comparison(Verdict(verdict), ratio, "")
        for case in range(20)
        for step in range(5)
    }
    return [TargetResult(f"target|{name}", TargetVerdict(verdict), {}, law=law) for name in range(number)]


def test_the_markdown_is_one_screen_whatever_changed():
    text = as_markdown(compare(many(60), many(60, "differ", 1e9)))
    assert len(text.splitlines()) < 45
    assert max(map(len, text.splitlines())) < 400
    assert not faults(text)
    assert tables(text) == 1
    assert "60 targets are worse" in text
    assert as_markdown(compare(many(2), many(2))).count("\n") < 6
    assert "details" in json.dumps([*vars(as_output(compare(many(1), many(1))).targets[0])])


def test_hostile_words_stay_words():
    before = [TargetResult(HOSTILE, TargetVerdict.agree, {HOSTILE: "1"})]
    after = [TargetResult(HOSTILE, TargetVerdict.not_loaded, {HOSTILE: "2"}, error=HOSTILE)]
    text = as_markdown(compare(before, after))
    assert "<script" not in text
    assert not faults(text)
    (line,) = annotations.of_comparisons(compare(before, after))
    assert "\n" not in line
    assert "\x1b" not in line
    ET.fromstring(junit.of_comparisons(compare(before, after)).encode())


# --- the command ---


def bnproof(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_two_ledgers_one_of_them_compressed(tmp_path):
    old = sample.write(tmp_path / "old", sample.records())
    worse = sample.records()
    worse["target"][0] |= {"verdict": "differ"}
    worse["comparison"].append(sample.comparison("numpy", "y", 12.0, "differ"))
    new = sample.write(tmp_path / "new", worse)
    new.with_suffix(".gz").write_bytes(gzip.compress(new.read_bytes()))
    done = bnproof(old, new.with_suffix(".gz"), "--markdown", tmp_path / "c.md", "--json", tmp_path / "c.json")
    assert done.exit_code == 1
    assert "numpy is worse" in done.stdout
    assert json.loads((tmp_path / "c.json").read_text())["worse"] is True
    assert "numpy" in (tmp_path / "c.md").read_text()
    assert bnproof(new, old).exit_code == 0
    assert bnproof(old, old, "--annotations", "--junit", tmp_path / "c.xml").exit_code == 0
    assert ET.parse(tmp_path / "c.xml").find("testsuite").get("failures") == "0"


def test_a_matrix_by_its_cells_and_a_history_by_its_releases(tmp_path):
    cell = {
        "target": "numpy", "dtype": "float32", "observable": "y", "verdict": "agree", "case": "rank4", "step": 0,
        "error": 1e-9, "bound": 1e-8, "ratio": 0.1, "message": None,
    }  # fmt: skip
    header = [sample.header(published=None)]
    release = {
        "library": "flax",
        "version": "1.0",
        "uploaded": "2024-01-02",
        "target": "flax-linen",
        "verdict": "agree",
    }
    ledgers = [
        sample.write(
            tmp_path / verdict,
            {
                "header": header,
                "target": [sample.target("numpy", "differ")],
                "cell": [cell | {"verdict": verdict}],
                "release": [release | {"verdict": verdict}],
            },
        )
        for verdict in ("agree", "differ")
    ]
    matrix, history = compare(*map(results_in, ledgers)).targets
    assert matrix.change is Change.worse
    assert history.target == "flax-linen of flax 1.0"
    assert history.verdicts == "agree → differ"


# --- JUnit and annotations of a check ---


def report(*verdicts, target="mine"):
    judgements = [
        Judgement("rank4", dtype, 0, "train", "y", Kind.law, Verdict(verdict), Reason.beyond_bound, message=HOSTILE)
        for dtype, verdict in verdicts
    ]
    return TargetReport(target, judgements=judgements)


def test_junit_has_a_case_a_case_with_its_outcome():
    verdicts = [("float64", "agree"), ("float64", "differ"), ("float32", "unsupported"), ("float16", "crashed")]
    text = junit.of_reports([report(*verdicts), TargetReport("absent", load_error="not found\nat all")], ["stale"])
    root = ET.fromstring(text.encode())
    outcomes = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert outcomes == {
        "rank4 float64": ["failure"], "rank4 float32": ["skipped"], "rank4 float16": ["error"], "load": ["error"],
        "stale": ["failure"],
    }  # fmt: skip
    first = root.find("testsuite")
    assert [first.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "1"]


def test_an_annotation_is_one_line_at_the_class(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("import numpy\n\n\nclass Norm:\n    pass\n")
    (line,) = annotations.of_reports([report(("float64", "differ"), target=f"{source}:Norm@cuda")])
    assert line.startswith(f"::error file={source},line=4,title=bnproof%3A ")
    assert "\n" not in line
    assert "\x1b" not in line
    assert not [*annotations.of_reports([report(("float64", "agree"))])]
    assert annotations.where("torch.nn:BatchNorm2d") is None
    source.write_text("class Norm(:\n")
    assert annotations.where(f"{source}:Norm") == (str(source), 1)
