"""A short run of tests/experiments/search.py, and proof that it finds a fault where there is one."""

import pytest

from reference.under_test import NumpyBatchNorm
from tests.experiments import search

CASES = 60


def test_no_disagreement_in_a_short_search():
    assert search.search(CASES, derandomize=True) >= CASES


def test_the_search_finds_a_fault(monkeypatch):
    class Biased(NumpyBatchNorm):
        def train(self, x, dy):
            results = super().train(x, dy)
            return results | {"dx": results["dx"] * (1 + 1e-3)}

    monkeypatch.setattr(search, "OUR_OWN", ("numpy",))
    monkeypatch.setattr(search, "load", lambda _: Biased)
    with pytest.raises(AssertionError, match="dx"):
        search.search(CASES, derandomize=True)
