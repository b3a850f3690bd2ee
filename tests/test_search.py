"""A short run of the search of tests/experiments/search.py, and proof that it finds what is there to find."""

import pytest

from reference.under_test import NumpyBatchNorm
from tests.experiments import search

CASES = 60


def test_no_disagreement_in_a_short_search():
    assert search.search(CASES, seed_is_fixed=True) >= CASES


def test_the_search_finds_a_fault(monkeypatch):
    class Biased(NumpyBatchNorm):
        def train(self, x, dy):
            found = super().train(x, dy)
            return found | {"dx": found["dx"] * (1 + 1e-3)}

    monkeypatch.setattr(search, "OWN", ("numpy",))
    monkeypatch.setattr(search, "load", lambda _: Biased)
    with pytest.raises(AssertionError, match="dx"):
        search.search(CASES, seed_is_fixed=True)
