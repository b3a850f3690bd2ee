"""Targets against each other: equal within the sum of their bounds, unless their declared conventions differ."""

import pytest

from harness.judge.pairs import compare_pairs


def test_pair(checked, pair, record_property):
    found = compare_pairs([checked.report(name) for name in pair])
    apart = [one for one in found if one.verdict == "differ"]
    assert not apart, f"{apart[0].observable} in {apart[0].dtype}, case {apart[0].case}: {apart[0].ratio:.3g} bounds"
    ratios = [one.ratio for one in found if one.ratio is not None]
    if not ratios:
        pytest.skip("nothing that both targets gave could be compared")
    record_property("largest_ratio", max(ratios))
