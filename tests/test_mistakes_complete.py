"""Every id of the diagnosis can be reached, is reached by a mutant, and is in the list that contributors read."""

import re

from harness.diagnose.envelopes import fast_in_float32, fast_variance, low_precision
from harness.diagnose.kept_statistics import kept_in
from harness.diagnose.mistakes.known import KNOWN, NOT_REPLAYED, TEXTS
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.place import ROOT
from reference.conventions import PRESETS
from tests.targets.mutants import PAIRS, SINGLE, expected_ids

NOTED = {"naive_summation", "empty_batch_wrong"}
"""Ids of notes: no verdict hangs on them, and honest variants have them."""
SEEN_DIRECTLY = {
    "input_mutated",
    "replicas_disagree",
    "single_value_wrong",
    "non_finite_output",
    "wrong_form",
    "unexplained",
}
"""Ids of what is either there or not: nothing is replayed to find them."""


def test_every_id_has_a_replay_or_an_envelope_or_is_seen_directly():
    conventions = PRESETS["d2l"]
    in_envelopes = {
        identity
        for envelope in (
            fast_variance(conventions),
            low_precision(conventions, "float16"),
            fast_in_float32(conventions),
            kept_in(conventions, "float16"),
        )
        for identity in envelope.ids
    }
    replayed = {known.id for known in KNOWN + OF_DERIVATIVES if known.variants}
    assert in_envelopes == set(NOT_REPLAYED) - SEEN_DIRECTLY - NOTED
    assert set(TEXTS) == replayed | in_envelopes | SEEN_DIRECTLY | NOTED


def test_every_id_is_that_of_a_mutant():
    of_mutants = set().union(*(expected_ids(mutant) for mutant in SINGLE + PAIRS))
    assert set(TEXTS) - of_mutants == NOTED


def test_the_list_in_contributing_is_that_of_the_diagnosis():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## The mistakes that are known\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert listed == [(identity, TEXTS[identity].replace("|", r"\|")) for identity in sorted(TEXTS)]
