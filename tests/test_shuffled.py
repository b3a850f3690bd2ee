"""The page of `tests.experiments.shuffled`: what failed in which order."""

import pytest

from tests.experiments import shuffled
from tests.test_markdown import faults, tables

LEANS = """
SEEN = []

def test_first():
    SEEN.append(1)

def test_second():
    assert SEEN
"""


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """Two tests of which one leans on the other, both ways round."""
    file = tmp_path_factory.mktemp("leaning") / "test_leaning.py"
    file.write_text(LEANS, encoding="utf-8")
    return [shuffled.run(seed, [str(file)]) for seed in (4, 5)]


def test_a_test_that_leans_on_another_fails_in_some_order(orders):
    failing = [order for order in orders if order.failed]
    assert len(failing) == 1
    for order in orders:
        assert (order.count("passed"), order.count("failed")) == ((1, 1) if order.failed else (2, 0))
        assert all("test_second" in name for name in order.failed)


def test_the_page_says_which(orders):
    text = shuffled.page(orders, "today")
    assert not faults(text)
    assert tables(text) == 1
    clean = sum(not order.failed for order in orders)
    assert f"{clean} of {len(orders)} orders without a failure" in text
    assert text.count("test_second") == len(orders) - clean


def test_pytest_that_did_not_start_is_a_failure():
    order = shuffled.run(1, ["tests/no_such_file.py"])
    assert order.failed == ["pytest ended with 4"]
