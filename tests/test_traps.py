"""The trap list and the catalogue agree: each trap is set by the cases it names, or says why no case sets it."""

import re
from itertools import pairwise

import numpy as np
import pytest
from typer.main import get_command

from harness.cases.case import Case
from harness.cases.catalogue import BY_ID as CASE_BY_ID
from harness.cases.catalogue import CASES
from harness.cases.traps import BY_ID, TRAPS, source_of
from harness.cli.app import app
from harness.cli.list_ import as_dict
from harness.targets.through.table import TABLE
from tests.in_process import checked
from tests.targets.mutants.right import D2l

ID = re.compile(r"[a-z]+(_[a-z]+)*")
REPOSITORY_AND_NUMBER = re.compile(r"([A-Za-z0-9-]+/)?[A-Za-z0-9.-]+#[1-9]\d*")
ADDRESS = re.compile(r"https://\S+")


def test_trap_ids_are_unique_slugs():
    assert len(BY_ID) == len(TRAPS)
    assert all(ID.fullmatch(trap.id) for trap in TRAPS)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.id)
def test_a_trap_has_cases_or_a_command_or_a_reason_and_one_of_them(trap):
    assert [bool(trap.cases), bool(trap.judged_by), bool(trap.unreachable)].count(True) == 1
    assert len(set(trap.cases)) == len(trap.cases)


@pytest.mark.parametrize("trap", [trap for trap in TRAPS if trap.judged_by], ids=lambda trap: trap.id)
def test_the_command_that_judges_a_trap_is_one(trap):
    options = {name for parameter in get_command(app).commands["check"].params for name in parameter.opts}
    for command in trap.judged_by.split("; "):
        program, verb, *words = command.split()
        assert (program, verb) == ("bnproof", "check")
        assert {word for word in words if word.startswith("--")} <= options
        through = [after for before, after in pairwise(words) if before == "--through"]
        assert {*through} <= {transformation.name for transformation in TABLE}


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.id)
def test_the_sources_of_a_trap_are_well_formed(trap):
    assert trap.sources
    assert len(set(trap.sources)) == len(trap.sources)
    assert all(REPOSITORY_AND_NUMBER.fullmatch(source) or ADDRESS.fullmatch(source) for source in trap.sources)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.id)
def test_a_trap_is_told_in_one_sentence(trap):
    assert re.fullmatch(r"[A-Z1].*[^.]\.", trap.sentence)
    assert ". " not in trap.sentence


def test_cases_and_traps_name_each_other():
    named_by_cases = {(case.id, trap) for case in CASES for trap in case.traps}
    named_by_traps = {(case, trap.id) for trap in TRAPS for case in trap.cases}
    assert named_by_cases == named_by_traps


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_has_a_source_of_its_own_or_traps(case):
    assert bool(case.source) != bool(case.traps)
    assert source_of(case)


def test_the_source_of_a_case_lists_that_of_each_trap_once():
    sources = BY_ID["bessel_in_moving_variance"].sources
    assert source_of(Case("some", "why", traps=("bessel_in_moving_variance",) * 2)) == ", ".join(sources)
    assert source_of(Case("some", "why", source="a book")) == "a book"


def test_the_listing_names_traps_and_sources():
    listed = {case["case"]: case for case in as_dict()["cases"]}
    assert listed.keys() == CASE_BY_ID.keys()
    assert listed["two_values"]["traps"] == ["bessel_in_moving_variance"]
    assert "pytorch#3122" in listed["two_values"]["source"]
    assert listed["exact_statistics"]["traps"] == []
    assert listed["exact_statistics"]["source"] == CASE_BY_ID["exact_statistics"].source


# What the mistakes and mutants do not cover: traps whose cases have no mistake of that name to separate.


class Squared(D2l):
    def inverse_std(self, var):
        return (var + self.work.type(self.eps)) ** 2


class NoRoot(D2l):
    def inverse_std(self, var):
        return 1 / (var + self.work.type(self.eps))


class EpsAsFloat(D2l):
    def __init__(self, setup):
        super().__init__(setup)
        self.eps = float(np.float32(setup.eps))


@pytest.mark.parametrize(
    ("layer", "trap", "dtype"),
    [
        (Squared, "wrong_power_of_variance", "float32"),
        (NoRoot, "wrong_power_of_variance", "float32"),
        (EpsAsFloat, "eps_rounded_to_float", "float64"),
    ],
)
def test_a_layer_in_the_trap_differs_in_its_cases(layer, trap, dtype):
    cases = tuple(CASE_BY_ID[case] for case in BY_ID[trap].cases)
    report = checked(layer, cases=cases, diagnosed=False)
    failing = {
        judgement.case for judgement in report.judgements if judgement.counts_against and judgement.dtype == dtype
    }
    assert failing == {case.id for case in cases}
