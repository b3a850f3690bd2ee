"""What a target that is played through a transformation is called, from the command line to the record."""

import pytest

from harness.cli.chosen import shown_name, targets_to_play
from harness.cli.failures import command
from harness.cli.request import CheckRequest
from harness.errors import UsageError
from harness.judge.report import TargetReport
from harness.record.checked import target_as_dict
from harness.targets.through.names import join_through, split_through


def test_every_target_through_every_transformation():
    request = CheckRequest(("a:A", "b:B@cuda", "c:C through vmap"), through=("jit", "scan"))
    assert targets_to_play(request) == (
        "a:A through jit",
        "a:A through scan",
        "b:B@cuda through jit",
        "b:B@cuda through scan",
        "c:C through vmap",
    )
    assert targets_to_play(CheckRequest(("a:A",), device="cuda", through=("jit",))) == ("a:A@cuda through jit",)


def test_what_cannot_be_is_refused_before_any_work():
    with pytest.raises(UsageError, match="unknown transformation 'deepcpy': did you mean 'deepcopy'"):
        targets_to_play(CheckRequest(("a:A",), through=("deepcpy",)))
    with pytest.raises(UsageError, match="is a program"):
        targets_to_play(CheckRequest(("exec:perl player.pl",), through=("jit",)))


def test_names_go_both_ways():
    for name in ("a:A", "./through b/m.py:A", "exec:run through it", "a:A@cuda through remat"):
        assert join_through(*split_through(name)) == name
    assert split_through("exec:run through it") == ("exec:run through it", "")
    assert split_through("a:A through functional-call") == ("a:A", "functional-call")
    assert shown_name("a:A@cuda through jit", "1.norm") == "a:A#1.norm@cuda through jit"


def test_the_record_and_the_command_name_it():
    report = TargetReport("a:A#1 through jit", load_error="no")
    assert target_as_dict(report)["through"] == "jit"
    assert target_as_dict(TargetReport("a:A", load_error="no"))["through"] is None
    again = command(report.target, ["rank4"], CheckRequest(("a:A",), layer="1", through=("jit",)))
    assert again == "bnproof check a:A --layer 1 --through jit --case rank4 --seed 0"
