"""The badge: what it says, that it is well-formed whatever is in it, and what cannot be made one of."""

import json
import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.badge import badge_of
from harness.errors import UsageError
from harness.judge.report import TargetReport
from harness.record.kinds import TargetVerdict
from harness.record.ledger import SCHEMA
from reports.badge import COLOURS, Subject, badge, width
from tests import ledger_sample as sample
from tests.test_colours import ENOUGH, contrast

SVG = "{http://www.w3.org/2000/svg}"
TIMM = Subject("timm", TargetVerdict.agree, {"numpy": "2.4", "timm": "1.0.31"})


def parsed(subjects, version=""):
    """The title, and the texts from left to right."""
    root = ET.fromstring(badge(subjects, version))
    title = root.findtext(f"{SVG}title")
    assert root.get("role") == "img"
    assert root.get("aria-label") == title
    return title, [text.text for text in root.iter(f"{SVG}text")]


def test_it_says_verdict_and_version():
    title, texts = parsed([TIMM])
    assert texts == ["batch norm", "✓ agrees · timm 1.0.31"]
    assert title == "batch norm checked by bnproof: timm: agrees, timm 1.0.31"


@pytest.mark.parametrize("verdict", TargetVerdict)
def test_every_verdict_has_a_word_and_a_colour(verdict):
    _, texts = parsed([Subject("x", verdict, {})])
    assert ("✓" in texts[1]) == (verdict == "agree")
    assert ("✗" in texts[1]) == (verdict in ("differ", "raised", "crashed", "timed_out"))


def test_several_are_counted():
    differs = Subject("x", TargetVerdict.differ, {"x": "1"})
    assert parsed([TIMM, TIMM, differs])[1][1] == "✗ 2 of 3 agree"
    assert parsed([TIMM, TIMM])[1][1] == "✓ 2 of 2 agree"
    assert parsed([TIMM, Subject("y", TargetVerdict.not_loaded, {})])[1][1] == "? 1 of 2 agree"


def test_a_version_that_could_be_either_is_left_out():
    both = {"jax": "0.10", "flax": "0.12"}
    assert Subject("x", TargetVerdict.agree, both).version == ""
    assert Subject("x", TargetVerdict.agree, both, "flax").version == "flax 0.12"


def test_it_is_well_formed_whatever_is_in_it():
    hostile = sample.HOSTILE + "\x00\x1b[31m\u202e\ud800\ufffe]]>&" + "x" * 500
    title, texts = parsed([Subject(hostile, TargetVerdict.differ, {hostile: hostile})])
    assert "<script>" in texts[1]  # as text
    assert len(texts[1]) < 80
    plain, full = (ET.fromstring(badge([Subject(text, TargetVerdict.agree, {})])) for text in ("x", hostile))
    assert [element.tag for element in plain.iter()] == [element.tag for element in full.iter()]
    assert not set("\x00\x1b\u202e\ud800\ufffe") & set(title)


def test_it_is_as_wide_as_its_text():
    assert width("iiii") < width("aaaa") < width("MMMM")
    assert width("é") == width("e\u0301")
    root = ET.fromstring(badge([TIMM]))
    right = [*root.iter(f"{SVG}text")][1]
    end = float(right.get("x")) + float(right.get("textLength"))
    assert end + 7 == pytest.approx(float(root.get("width")), abs=0.2)


def test_its_colours_can_be_read():
    assert all(contrast("#ffffff", colour) >= ENOUGH for colour in (*COLOURS.values(), "#3a3d40"))


def test_check_makes_one_of_what_it_judged():
    report = TargetReport("torch-native", load_error="no")
    assert "not loaded" in badge_of([report])


def run(*arguments):
    return CliRunner().invoke(app, ["badge", *map(str, arguments)])


def test_of_a_ledger_and_of_a_check(tmp_path):
    ledger = sample.write(tmp_path, sample.records())
    out = tmp_path / "b.svg"
    assert run(ledger, "-o", out).exit_code == 0
    assert "5 of 6 agree" in out.read_text()
    assert run(ledger, "-o", out, "--target", "tutorial", "--of", "d2l 1.0").exit_code == 0
    assert "differs · d2l 1.0" in out.read_text()
    content = {"schema": SCHEMA, "environment": sample.header()["environment"], "targets": [sample.target("mine")]}
    checked = tmp_path / "check.json"
    checked.write_text(json.dumps(content))
    assert run(checked, "-o", out).exit_code == 0
    assert "bnproof: mine: agrees" in out.read_text()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot read"),
        ("", "is empty"),
        ("no", "is not JSON"),
        ("[1]", "is no record"),
        ('{"schema": "other", "targets": []}', "neither a ledger nor what `bnproof check --json` wrote"),
        (f'{{"schema": "{SCHEMA}", "targets": 3}}', "does not fit"),
        (json.dumps({"type": "header", "schema": SCHEMA} | sample.header()), "did not finish"),
    ],
)
def test_what_is_no_result_is_one_line(tmp_path, content, text):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    result = run(path, "-o", tmp_path / "b.svg")
    assert isinstance(result.exception, UsageError)
    assert text in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "b.svg").exists()


def test_an_unknown_target_is_named(tmp_path):
    result = run(sample.write(tmp_path, sample.records()), "--target", "nope")
    assert "holds no target 'nope'; it has numpy" in str(result.exception)
