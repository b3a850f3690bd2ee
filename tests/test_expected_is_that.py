"""What is expected of a step, its values and bounds to ten digits: a table that no change alters unnoticed.

The values are right by other tests (test_reference.py, `tests.experiments.oracle`), the bounds by `make bounds`.
Whoever changes either on purpose runs `python -m tests.test_expected_is_that`, which writes the table anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cases.case import Case
from harness.cases.options import Options
from harness.cases.script import NO_BETA, NO_GAMMA, NO_STATISTICS
from harness.judge.expected import expect
from reference.conventions import PRESETS
from reference.error_bounds import precision_of
from tests.pinned import assert_same, line, without_noise

TABLE = Path(__file__).with_suffix(".txt")


def uneven(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A mask: about two of three elements count."""
    return rng.random(shape) < 2 / 3


ORDINARY = Case("ordinary", "", shape=(3, 2, 2), script=("eval", "train", "train", "eval"))
CASES = {
    "ordinary": ORDINARY,
    "constant": replace(ORDINARY, data=lambda _, shape: np.full(shape, 3.0)),
    "sessions": replace(
        ORDINARY, shape=(4, 2), script=("train", "train'", "restore", "eval", "restore_used'", "eval'")
    ),
    "no gradients": replace(ORDINARY, script=("train_no_grad", "frozen", "eval")),
    "empty": replace(ORDINARY, shape=(0, 2), script=("train", "eval")),
    "single": replace(ORDINARY, shape=(1, 2), script=("train", "eval")),
    "masked": replace(ORDINARY, options=Options(mask=uneven), script=("train", "eval", "train")),
    "cumulative": replace(
        ORDINARY, options=Options(cumulative=True), script=("train", "train", "restore_used", "eval")
    ),
    "no statistics": replace(ORDINARY, options=Options(without=(NO_STATISTICS,))),
    "no parameters": replace(ORDINARY, options=Options(without=(NO_GAMMA, NO_BETA)), script=("train", "eval")),
    "derivatives": replace(ORDINARY, script=("train", "train_jvp", "eval_jvp", "train_double", "eval_double")),
}
CONVENTIONS = {
    "d2l": PRESETS["d2l"],
    "torch": PRESETS["torch"],
    "unusual": replace(PRESETS["torch"], debias=True, eps_at="outside_sqrt", single_value="any"),
}
IN_ORDER, FAST, ANY_MODE = {"summation": "pairwise_in_order"}, {"fast_variance": True}, {"any_mode": True}
COARSE = {"precision": precision_of("bfloat16")}


@dataclass(frozen=True)
class Asked:
    case: str
    conventions: str
    dtype: str = "float32"
    flags: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([self.case, self.conventions, self.dtype, *self.flags])


ASKED = [
    *(Asked(case, "unusual") for case in CASES),
    *(
        Asked(case, conventions)
        for case in ("ordinary", "empty", "single", "masked")
        for conventions in ("d2l", "torch")
    ),
    *(Asked("ordinary", "unusual", "bfloat16", flags) for flags in ({}, IN_ORDER, FAST, ANY_MODE)),
    *(Asked("derivatives", "unusual", "float16", flags) for flags in (IN_ORDER, FAST, ANY_MODE)),
    *(Asked("constant", "d2l", flags=flags) for flags in (IN_ORDER, FAST)),
    *(Asked("masked", "d2l", flags=flags) for flags in (IN_ORDER, ANY_MODE)),
    Asked("ordinary", "torch", flags=COARSE),
    Asked("empty", "torch", flags=FAST),
]


def lines() -> Iterator[str]:
    for asked in ASKED:
        yield from lines_of(asked)


def lines_of(asked: Asked) -> Iterator[str]:
    conventions = CONVENTIONS[asked.conventions]
    script = CASES[asked.case].make(asked.dtype, 1, conventions.momentum_for(0.125))
    for number, expected in enumerate(expect(script, conventions, **asked.flags)):
        label = f"{asked} | step {number}"
        yield f"{label}: raises {expected.raises}, undeclared {expected.undeclared}, absent {expected.absent}"
        values = {name: without_noise(array) for name, array in expected.values.items()}
        yield line(f"{label}, values", values)
        yield line(f"{label}, bounds", expected.bounds)
        added = {name: np.asarray(share.oracle + share.evaluation) for name, share in expected.shares.items()}
        yield line(f"{label}, added", added)


@pytest.fixture(scope="module")
def table() -> list[str]:
    return TABLE.read_text().splitlines()


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_what_is_expected_is_that_of_the_table(asked, table):
    assert_same(list(lines_of(asked)), [line for line in table if line.startswith(f"{asked} |")])


if __name__ == "__main__":
    TABLE.write_text("\n".join(lines()) + "\n")
