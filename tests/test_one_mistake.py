"""What each variant of each known mistake gives, to ten digits: none becomes another mistake unnoticed.

That each is the mistake that it is called is for test_mutants.py: a batch norm that makes it is named by it, alone. Who
changes a variant on purpose runs `python -m tests.test_one_mistake`, which writes the table anew.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness.cases.case import Case
from harness.cases.catalogue import CASES
from harness.cases.script import Script
from harness.diagnose.mistakes.known import KNOWN
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.diagnose.replay import _played
from harness.judge.oracle import OracleLayer
from reference.conventions import PRESETS, Conventions
from tests.pinned import assert_same, line, without_noise

TABLE = Path(__file__).with_suffix(".txt")
REPLAYED = [known for known in KNOWN + OF_DERIVATIVES if known.variants]
IDS = tuple(dict.fromkeys(known.id for known in REPLAYED))
CONVENTIONS = (
    PRESETS["d2l"],
    PRESETS["torch"],
    replace(PRESETS["d2l"], debias=True),
    replace(PRESETS["d2l"], eps_at="outside_sqrt"),
)


@cache
def smallest_case_of(identity: str) -> Case:
    """The case of fewest values that claims the mistake; in float32, in which the oracle computes in float64."""
    claiming = [case for case in CASES if identity in case.separates]
    return min(claiming, key=lambda case: (case.values_per_channel * case.shape[1] * len(case.script), case.id))


def lines_of(identity: str) -> Iterator[str]:
    for known in REPLAYED:
        if known.id == identity:
            conventions = next(conventions for conventions in CONVENTIONS if known.applies(conventions))
            script = smallest_case_of(identity).make("float32", 0, conventions.momentum_for(0.125))
            yield from (line_of(identity, variant, script, conventions) for variant in known.variants)


def line_of(identity: str, variant: type[OracleLayer], script: Script, conventions: Conventions) -> str:
    given = [
        np.concatenate([without_noise(np.ravel(array)) for _, array in sorted(values.items())])
        for values in _played(variant, script, conventions)
        if values is not None
    ]
    steps = {f"of {len(given)} steps": np.concatenate([np.zeros(0), *given])}
    return line(f"{identity} {variant.__module__.rpartition('.')[2]} {variant.__name__}", steps)


@pytest.fixture(scope="module")
def table() -> list[str]:
    return TABLE.read_text().splitlines()


@pytest.mark.parametrize("identity", IDS)
def test_each_variant_gives_what_it_gave(identity, table):
    assert_same(list(lines_of(identity)), [line for line in table if line.startswith(f"{identity} ")])


if __name__ == "__main__":
    TABLE.write_text("\n".join(line for identity in IDS for line in lines_of(identity)) + "\n")
