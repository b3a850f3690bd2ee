"""Answers that are kept: a run that was broken off goes on where it was, and comes to the same end."""

from __future__ import annotations

import json

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check_target
from harness.errors import UsageError
from harness.findings import Note
from harness.targets.in_process import InProcessTarget
from harness.targets.player import Death, DeathCause
from harness.targets.remember import Remembering, forget, path_of, sources_of
from tests.targets.misbehaving import Raises
from tests.targets.mutants.moving import MomentumInvertedD2l
from tests.targets.mutants.right import D2l

CASES = tuple(BY_ID[name] for name in ("rank2", "rank4", "five_steps", "save_and_restore"))


class KilledError(BaseException):
    pass


class Stub(InProcessTarget):
    """Counts what it is asked, and may be killed, or die, at some call."""

    def __init__(self, factory, killed_at=None, dies_at=()):
        super().__init__(factory)
        self.asked, self.killed_at, self.dies_at = 0, killed_at, dies_at

    def play(self, script, channel_axis):
        self.asked += 1
        if self.asked == self.killed_at:
            raise KilledError
        if self.asked in self.dies_at:
            return Death(DeathCause.crashed, "it died")
        return super().play(script, channel_axis)

    def notes(self):
        return [Note("prints", "it prints")]


class Undeclared(Raises):
    conventions = None


def run(folder, factory, **stub):
    """(the report, how often the target was asked)"""
    player = Stub(factory, **stub)
    with Remembering(player, folder, "") as remembering:
        return check_target(remembering, CheckOptions(CASES)), player.asked


def told(report):
    return report.judgements, report.diagnosis, report.notes, report.conventions


@pytest.mark.parametrize(("factory", "moments"), [(MomentumInvertedD2l, (0, 1, 0.5)), (Undeclared, (0.5,))])
def test_killed_at_any_play_it_ends_as_if_it_had_not_been(tmp_path, factory, moments):
    whole, plays = run(tmp_path / "whole", factory)
    for killed_at in (1 + int(moment * (plays - 1)) for moment in moments):
        folder = tmp_path / str(killed_at)
        with pytest.raises(KilledError):
            run(folder, factory, killed_at=killed_at)
        resumed, asked = run(folder, factory)
        assert told(resumed) == told(whole)
        assert asked == plays - (killed_at - 1)


def test_deaths_are_remembered_and_given_up_after_as_many(tmp_path):
    whole, plays = run(tmp_path / "whole", D2l, dies_at=(2, 5))
    with pytest.raises(KilledError):
        run(tmp_path / "cut", D2l, dies_at=(2,), killed_at=4)
    resumed, asked = run(tmp_path / "cut", D2l, dies_at=(2,))  # the second death, as the new process counts
    assert told(resumed) == told(whole)
    assert asked == plays - 3
    assert {"crashed", "not_run"} <= {judgement.verdict for judgement in resumed.judgements}


def test_a_line_cut_off_is_played_again_and_a_damaged_one_is_refused(tmp_path):
    whole, _ = run(tmp_path, D2l)
    path = path_of(tmp_path, "D2l")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    resumed, asked = run(tmp_path, D2l)
    assert (told(resumed), asked) == (told(whole), 1)
    assert path.read_bytes() == content
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{]\n", *lines[3:]]))
    report, _ = run(tmp_path, D2l)
    assert "line 3 is damaged; remove the file" in report.load_error


@pytest.mark.parametrize("change", [{"played": {"steps": 7}}, {"played": None}, {"death": {"cause": "boredom"}}])
def test_what_no_target_answers_is_refused(tmp_path, change):
    run(tmp_path, D2l)
    path = path_of(tmp_path, "D2l")
    header, first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([header, json.dumps(json.loads(first) | change), *rest, ""]))
    with pytest.raises(UsageError, match="holds what no target answers"):
        run(tmp_path, D2l)


def test_answers_of_other_sources_are_not_taken_and_two_runs_do_not_mix(tmp_path):
    _, plays = run(tmp_path, D2l)
    player = Stub(D2l)
    with Remembering(player, tmp_path, "another file") as remembering:
        check_target(remembering, CheckOptions(CASES))
        assert player.asked == plays
        report, _ = run(tmp_path, D2l)
        assert "in use by another run" in report.load_error


def test_sources_are_the_file_the_package_or_what_a_command_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("a = 1\n")
    names = ("mine.py:Norm", "mine:Norm", "mine.py:Norm@cuda", "exec:node mine.py", "mine.py:Norm through compile")
    before = [sources_of(name) for name in names]
    assert before == [sources_of(name) for name in names]
    (tmp_path / "mine.py").write_text("a = 2\n")
    assert not {*before} & {sources_of(name) for name in names}
    assert sources_of("torch.nn:BatchNorm2d") == sources_of("numpy")


def test_what_ended_is_forgotten(tmp_path):
    run(tmp_path, D2l)
    forget(tmp_path, ["D2l", "never played"])
    assert not path_of(tmp_path, "D2l").exists()
