"""The error bounds, to ten digits, on batches that reach every branch: no verdict gets stricter or laxer unnoticed.

That they hold and are not empty is shown elsewhere (test_error_bounds.py, `make bounds`). Whoever changes a bound on
purpose runs `python -m tests.test_bounds_are_those`, which writes the table anew, and then `make bounds`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reference.error_bounds import PRECISIONS, Bounds, eval_bounds, moving_bound, precision_of, train_bounds
from reference.second_derivative_bounds import DirectionRows, Point, eval_derivative_bounds, train_derivative_bounds
from reference.summation_error import SUMMATIONS
from tests.pinned import assert_same, line

TABLE = Path(__file__).with_suffix(".txt")
GAMMA, BETA = np.array([1.5, -0.75, 2.0, 0.625, 0.0]), np.array([0.25, -1.5, 0.875, 3.0, -2.0])
MOVING = np.array([0.5, 1000.25, -3.0, 1e-3, 0.0]), np.array([2.0, 0.75, 1.5, 1e-7, 0.0])
OF_MOVING = np.array([1e-7, 1e-5, 0.0, 1e-9, 1e-8]), np.array([1e-7, 1e-6, 1e-9, 1e-8, 1e-9])
EPS = 1e-5
CASES = [(dtype, eps_at, summation) for dtype in PRECISIONS for eps_at in ("inside_sqrt", "outside_sqrt")
         for summation in SUMMATIONS]  # fmt: skip


def rows(n: int, turn: int) -> np.ndarray:
    """(n, 5): ordinary values, values about 1000, a constant, small ones, and multiples of 1/4.

    Each is the same on every machine, which no sine is.
    """
    ordinary = ((np.arange(1, 5 * n + 1) * turn * 7919 % 1009) / 505 - 1).reshape(n, 5)
    ordinary[:, 1] += 1000
    ordinary[:, 2] = -3.0
    ordinary[:, 3] *= 1e-3
    ordinary[:, 4] = np.arange(n) % 3 / 4
    return ordinary


def bounds_of(n: int, dtype: str, eps_at: str, summation: str) -> Iterator[tuple[str, Bounds]]:
    x, dy, along, precision = rows(n, 1), rows(n, 2), rows(n, 3), precision_of(dtype)
    yield "train", train_bounds(x, dy, GAMMA, BETA, EPS, precision, eps_at, summation=summation)
    yield "eval", eval_bounds(x, dy, GAMMA, BETA, *MOVING, EPS, precision, *OF_MOVING, eps_at, summation)
    if dtype == "float64" or (dtype != "float32" and summation != "any"):
        return
    point, directions = Point(x, dy, GAMMA, BETA, EPS, eps_at), DirectionRows(along, BETA, GAMMA)
    if dtype == "float32":
        yield "train, worse", train_bounds(x, dy, GAMMA, BETA, EPS, precision, eps_at, np.full(5, 1e-4), summation)
    if n > 1 and (summation, eps_at) != ("wide", "inside_sqrt"):
        yield "derivatives", train_derivative_bounds(point, directions, precision, 0.0, summation)
        yield "eval derivatives", eval_derivative_bounds(point, directions, MOVING, OF_MOVING, precision, summation)


def lines() -> Iterator[str]:
    for case in CASES:
        yield from lines_of(*case)
    yield from other_lines()


def lines_of(dtype: str, eps_at: str, summation: str) -> Iterator[str]:
    for n in (1, 7) if dtype == "float32" else (7,):
        for mode, bounds in bounds_of(n, dtype, eps_at, summation):
            yield line(f"{dtype} {eps_at} {summation}, n = {n}, {mode}", bounds)


def other_lines() -> Iterator[str]:
    """Of an empty batch, of one that is too large to be sorted, and of moving averages."""
    for mode, bounds in bounds_of(0, "float64", "inside_sqrt", "any"):
        yield line(f"empty, {mode}", bounds)
    precision, large = precision_of("float32"), rows(4097, 1)
    yield line("large", train_bounds(large, large[::-1], GAMMA, BETA, EPS, precision))
    for dtype in PRECISIONS:
        moved = moving_bound(OF_MOVING[0], *MOVING, OF_MOVING[1], 0.875, 0.125, precision_of(dtype))
        yield line(f"moving, {dtype}", {"moving": moved})


@pytest.fixture(scope="module")
def table() -> list[str]:
    return TABLE.read_text().splitlines()


@pytest.mark.parametrize(("dtype", "eps_at", "summation"), CASES)
def test_the_bounds_are_those_of_the_table(dtype, eps_at, summation, table):
    of_case = [line for line in table if line.startswith(f"{dtype} {eps_at} {summation},")]
    assert_same(list(lines_of(dtype, eps_at, summation)), of_case)


def test_the_other_bounds_are_those_of_the_table(table):
    others = [line for line in table if not line.startswith(tuple(PRECISIONS))]
    assert_same(list(other_lines()), others)


if __name__ == "__main__":
    TABLE.write_text("\n".join(lines()) + "\n")
