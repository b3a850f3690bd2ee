"""Targets against each other: equal within the sum of their bounds, unless their declared conventions differ.

Where a target is known to differ from the oracle it is compared with no other.
"""

import pytest

from harness.judge.pair import PairVerdict
from harness.judge.pairs import compare_pairs
from harness.pytest_reports import put_figure


def test_pair(request, reports, pair):
    results = compare_pairs([reports.without_known(target) for target in pair])
    for result in results:
        assert result.verdict is not PairVerdict.differ, (
            f"{result.observable} in {result.dtype}, case {result.case}: {result.ratio:.3g} times the sum of the bounds"
        )
    ratios = [result.ratio for result in results if result.ratio is not None]
    if not ratios:
        pytest.skip("nothing that both targets gave could be compared")
    put_figure(request, max(ratios))
