"""Tables of numbers that must not change unnoticed: arrays as a few digits each, and how a table is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest

NUMBER = re.compile(r"-?\d+\.\d+")
NOISE = 1e-12
"""Of the largest value: what is less may be what rounding left of a 0, and counts as one."""


def fingerprint(array: np.ndarray) -> str:
    """Weighted sums that move with a relative change of any element; how many are 0, and how many no number."""
    array = np.asarray(array, np.float64)
    weights = 1 + np.arange(array.size).reshape(array.shape) % 7
    finite = np.isfinite(array)
    counted = finite & (array != 0)
    logarithms = (weights * np.log(np.abs(np.where(counted, array, 1.0)))).sum()
    signs = (weights * np.sign(np.where(counted, array, 0.0))).sum()
    return f"{logarithms:.9f} {signs:.0f} {(array == 0).sum()} {(~finite).sum()}"


def line(label: str, arrays: Mapping[str, np.ndarray]) -> str:
    return f"{label}: " + "; ".join(f"{name} {fingerprint(array)}" for name, array in sorted(arrays.items()))


def without_noise(array: np.ndarray) -> np.ndarray:
    """The array with a 0 wherever another order of additions might leave another rounding error."""
    finite = np.abs(np.where(np.isfinite(array), array, 0.0))
    return np.where(np.isfinite(array) & (finite <= NOISE * finite.max(initial=0.0)), 0.0, array)


def assert_same(found: list[str], expected: list[str]) -> None:
    """Labels, names and counts are equal, sums to ten digits."""
    assert len(found) == len(expected) > 0, "something is new, or gone: write the table anew"
    for line_found, line_expected in zip(found, expected, strict=True):
        words, expected_words = line_found.split(), line_expected.split()
        assert len(words) == len(expected_words), line_found
        for word, expected_word in zip(words, expected_words, strict=True):
            if NUMBER.fullmatch(word):
                assert float(word) == pytest.approx(float(expected_word), rel=1e-12, abs=1e-8), line_found
            else:
                assert word == expected_word, line_found
