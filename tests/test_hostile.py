"""Hostile targets: each gets its verdict, and neither the terminal, the disk nor another target suffers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli import output
from harness.cli.output import UNSEEN, harmless
from harness.targets import process
from harness.targets.isolate import IsolatedTarget
from reports.formats import markdown_text, printable
from tests.targets.hostile import ESCAPES
from tests.test_robustness import bnproof

HOSTILE = Path(__file__).parent / "targets" / "hostile.py"
VERDICTS = {
    "Escapes": "raised",
    "ChangesFolder": "agree",
    "ReplacesStdout": "agree",
    "OpensFiles": "agree",
    "Objects": "differ",
    "Subclasses": "raised",
    "Masked": "agree",
    "MemoryMapped": "agree",
    "Aliased": "differ",
    "NanPayloads": "agree",
    "Lies": "unsupported",
}


def test_each_has_its_verdict_and_its_words_command_nobody(tmp_path):
    """In one command, one after the other: none is in the next one's way."""
    files = {option: tmp_path / option.strip("-") for option in ("--json", "--markdown", "--junit", "--badge")}
    options = [str(word) for pair in files.items() for word in pair]
    done = bnproof(*[f"{HOSTILE}:{name}" for name in VERDICTS], "--case", "rank4", "--annotations", *options)
    assert "Traceback" not in done.stderr
    verdicts = dict(re.findall(r"hostile\.py:(\w+): (\w+)", done.stdout))
    assert {name: verdicts[name] for name in VERDICTS} == VERDICTS
    for text in (done.stdout, done.stderr, *(path.read_text() for path in files.values())):
        assert not UNSEEN.search(text.replace("\n", ""))
        assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x1b]", text)


def test_a_target_that_prints_without_end_does_not_fill_the_disk(monkeypatch):
    monkeypatch.setattr(process, "PRINTED_AT_MOST", 2**22)
    monkeypatch.setenv("FLOOD", "60")
    largest = 0
    keep_short = process.Printed.keep_short

    def watched(printed):
        nonlocal largest
        keep_short(printed)
        largest = max(largest, printed.path.stat().st_size)

    monkeypatch.setattr(process.Printed, "keep_short", watched)
    from harness.cases.catalogue import BY_ID
    from harness.check import CheckOptions, check_target

    with IsolatedTarget(f"{HOSTILE}:Floods") as player:
        report = check_target(player, CheckOptions((BY_ID["rank4"],)))
        assert report.verdict == "agree"
        assert player.printed() == "x" * process.PRINTED_KEPT
        assert player._printed.path.stat().st_size < 2**27  # of 240 MB; a busy machine looks at it late
    assert largest > 0


@pytest.mark.parametrize("show", [harmless, printable, markdown_text, lambda text: output.harmless(text * 2)])
def test_words_without_commands(show):
    assert not UNSEEN.search(show(ESCAPES))
    assert "owned" in show(ESCAPES)
    plain = "plain words, ✓ γ 漢字 e\u0301"
    assert show(plain) in (plain, plain * 2)
