"""The bounds of a layer whose statistics are computed in fewer bits than its dtype asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from harness.cases.case import Script, Setup, Step, numpy_dtype
from harness.judge.expected import Expected
from harness.judge.kept_expected import wider_expected
from harness.judge.oracle import OracleLayer
from harness.judge.prepare import KEPT
from harness.judge.report import PlayedCase
from reference.conventions import Conventions
from reference.error_bounds import Precision, precision_of

PARAMETERS = ("gamma", "beta", "moving_mean", "moving_var")
FLOAT16_MAX = float(ml_dtypes.finfo(np.float16).max)
FLOAT16_FEW_BITS = 2.0**-20
"""Below this float16 holds four bits or fewer."""


def in_fewer_bits(played: PlayedCase, conventions: Conventions, name: str, fast_variance: bool = False) -> PlayedCase:
    """The case with the bounds of statistics in the type called `name`, where that is narrower than the case's own."""
    return replace(played, expected=_expected(played.script, conventions, name, fast_variance))


@lru_cache(KEPT)
def _expected(script: Script, conventions: Conventions, name: str, fast_variance: bool) -> list[Expected]:
    """The same for all targets, as what is prepared for them."""
    dtype = script.setups[0].dtype
    own, narrow = precision_of(dtype), precision_of(name)
    work = max(own.work, narrow.io)
    io = max(own.io, work) if dtype == "float64" else own.io
    precision = Precision(work, io, own.work_tiny * (work / own.work), own.io_tiny)  # `flush` stays
    expected = wider_expected(script, conventions, precision=precision, fast_variance=fast_variance)
    if work > own.work:
        _widen_by_rounded_inputs(script, conventions, numpy_dtype(name), expected)
    if "float16" in (name, dtype):  # statistics of 16-bit input may be kept in the input's own type
        _widen_by_range(script, expected)
    return expected


def _widen_by_rounded_inputs(
    script: Script, conventions: Conventions, narrow: np.dtype, expected: list[Expected]
) -> None:
    """Inputs and parameters may be rounded before anything is computed: what that changes is added to the bounds."""
    layers = [OracleLayer.from_setup(_rounded_setup(setup, narrow), conventions) for setup in script.setups]
    with np.errstate(all="ignore"):
        for step, exact in zip(script.steps, expected, strict=False):
            if exact.raises:
                return
            for observable, value in layers[step.session].play(_rounded_step(step, narrow)).items():
                change = np.abs(value - exact.values[observable]).astype(np.float64)
                exact.bounds[observable] = exact.bounds[observable] + np.where(np.isfinite(change), change, np.inf)


def _rounded_setup(setup: Setup, narrow: np.dtype) -> Setup:
    given = {name: getattr(setup, name) for name in PARAMETERS}
    rounded: Any = {name: _rounded(array, narrow) for name, array in given.items() if array is not None}
    return replace(setup, **rounded)


def _rounded_step(step: Step, narrow: np.dtype) -> Step:
    if step.x is None or step.dy is None:
        return step
    return replace(step, x=_rounded(step.x, narrow), dy=_rounded(step.dy, narrow))


def _rounded(array: np.ndarray, narrow: np.dtype) -> np.ndarray:
    return array.astype(narrow).astype(array.dtype)


def _widen_by_range(script: Script, expected: list[Expected]) -> None:
    """Sums beyond float16's largest number, and variances of which it holds a few bits, may leave anything: of the
    statistics, and of all that follows.
    """
    channels = script.setups[0].num_features
    lost = np.zeros((len(script.setups), channels), bool)
    for step, of_step in zip(script.steps, expected, strict=False):
        if step.x is not None and step.dy is not None:
            rows = np.moveaxis(step.x.astype(np.float64), 1, -1).reshape(-1, channels)
            with np.errstate(all="ignore"):
                lost[step.session] |= (rows * rows).sum(axis=0) > FLOAT16_MAX
                lost[step.session] |= np.abs(rows).sum(axis=0) > FLOAT16_MAX
                lost[step.session] |= (rows.var(axis=0) < FLOAT16_FEW_BITS) & (rows.var(axis=0) > 0)
        for name, bound in of_step.bounds.items():
            shape = (1, -1, *[1] * (bound.ndim - 2)) if bound.ndim > 1 else (-1,)
            of_step.bounds[name] = np.where(lost[step.session].reshape(shape), np.inf, bound)
