"""One batch-norm layer: ours against the framework's own, over shapes that occur in networks.

Paired rounds as in `throughput.py`: ours, native, the plain formula as a chain of small operations, a copy of x, and
ours again as the control, the order reversed every round. The copy measures the memory: a layer cannot be faster than
what it must read and write at the copy's rate.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import ml_dtypes
import numpy as np

from harness.bench.contest import AGAIN, COPY, NATIVE, OURS, SMALL, Contest, Step, arrays
from harness.bench.figures import decide, spread
from harness.bench.options import BACKWARD, BOTH, FORWARD, LAST, PREDICTION, TRAINING, LayerCase, LayerOptions
from harness.bench.results import ITEM_SIZES, Decision, LayerThroughput
from reference.batch_norm import BatchNorm

TOLERANCES = {"float32": 1e-4, "bfloat16": 4e-2}
"""Of y and dx, relative and absolute; bfloat16 has 8 bits."""
SINGLE_PASS = {FORWARD: 2, BACKWARD: 3, BOTH: 5}
"""Arrays of x's size that must be read or written: x in and y out; x and dy in and dx out."""
TWO_PASSES = {FORWARD: 3, BACKWARD: 5, BOTH: 8}
"""The same where what is read for the statistics, or for the two sums, is read again."""


def measure(options: LayerOptions, on_case: Callable[[LayerCase], None] | None = None) -> Iterator[LayerThroughput]:
    """A record for each case whose framework is installed; ratio = native's time / ours."""
    for case in cases(options):
        if importlib.util.find_spec(case.framework) is None:
            continue
        if on_case:
            on_case(case)
        yield compare(case, contest_of(case), options)


def cases(options: LayerOptions) -> Iterator[LayerCase]:
    combinations = itertools.product(
        options.frameworks, options.shapes, options.layouts, options.dtypes, options.modes, options.ways
    )
    for framework, shape, layout, dtype, mode, way in combinations:
        if is_new(framework, shape, layout, options.layouts):
            yield LayerCase(framework, shape, layout, dtype, mode, way, options.device, options.threads)


def is_new(framework: str, shape: tuple[int, ...], layout: str, layouts: tuple[str, ...]) -> bool:
    """Rank 2 has one layout, whatever it is called; JAX's layers have the channels last only."""
    if framework == "jax":
        return layout == layouts[-1]
    return len(shape) > 2 or layout == layouts[0]


def contest_of(case: LayerCase) -> Contest:
    if case.framework == "torch":
        from harness.bench import layer_torch

        return layer_torch.contest(case)
    from harness.bench import layer_jax

    return layer_jax.contest(case)


def compare(case: LayerCase, contest: Contest, options: LayerOptions) -> LayerThroughput:
    seconds = timed(contest.steps | {AGAIN: contest.steps[OURS]}, contest.wait, options)
    ratio = spread([native / ours for native, ours in zip(seconds[NATIVE], seconds[OURS], strict=True)])
    control = spread([again / ours for again, ours in zip(seconds[AGAIN], seconds[OURS], strict=True)])
    is_right, native_is_right = agreement(contest, case)
    fastest = {name: min(of_name) for name, of_name in seconds.items()}
    one_array = ITEM_SIZES[case.dtype] * math.prod(case.shape)
    rate = 2 * one_array / fastest[COPY]
    passes = SINGLE_PASS if case.mode == PREDICTION else TWO_PASSES
    return LayerThroughput(
        name=case.framework,
        layout=case.layout if case.framework == "torch" else LAST,
        shape=case.shape,
        against=NATIVE,
        seconds=fastest[OURS],
        native_seconds=fastest[NATIVE],
        bytes_per_second=SINGLE_PASS[case.way] * one_array / fastest[OURS],
        ratio=ratio,
        control=control,
        decision=decide(ratio, control) if is_right else Decision.DISAGREES,
        native_is_right=native_is_right,
        rounds=options.rounds,
        device=case.device,
        dtype=case.dtype,
        mode=case.mode,
        way=case.way,
        threads=case.threads,
        small_seconds=fastest[SMALL],
        copy_bytes_per_second=rate,
        single_pass_share=SINGLE_PASS[case.way] * one_array / fastest[OURS] / rate,
        two_pass_share=passes[case.way] * one_array / fastest[OURS] / rate,
        kept_bytes=contest.kept[OURS],
        native_kept_bytes=contest.kept[NATIVE],
        peak_bytes=contest.peaks[OURS],
        native_peak_bytes=contest.peaks[NATIVE],
    )


def agreement(contest: Contest, case: LayerCase) -> tuple[bool, bool]:
    """(whether ours is right, whether native is): both where they agree, else by the formula in float64.

    Over millions of values a channel PyTorch's own layer errs by 2e-2 where the channels are last.
    """
    ours, native = contest.results(OURS), contest.results(NATIVE)
    if near(ours, native, case.dtype):
        return True, True
    exact = in_float64(case)
    return near(ours, exact, case.dtype), near(native, exact, case.dtype)


def near(found: list[np.ndarray], wanted: list[np.ndarray], dtype: str) -> bool:
    tolerance = TOLERANCES[dtype]
    return all(np.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(found, wanted, strict=True))


def in_float64(case: LayerCase) -> list[np.ndarray]:
    """[y, dx] of a new layer, by the plain formula; x and dy are first rounded to the case's dtype."""
    kind = np.dtype(ml_dtypes.bfloat16 if case.dtype == "bfloat16" else case.dtype)
    x, dy = (array.astype(kind).astype(np.float64) for array in arrays(case.shape))
    layer = BatchNorm(case.shape[1])
    if case.mode == TRAINING:
        y, cache = layer.train(x)
        dx, _, _ = layer.train_backward(dy, cache)
    else:
        y, cache = layer.eval(x)
        dx, _, _ = layer.eval_backward(dy, cache)
    last = case.framework == "jax"
    return [np.moveaxis(array, 1, -1) if last else array for array in (y, dx)]


def timed(steps: dict[str, Step], wait: Callable[[Any], Any], options: LayerOptions) -> dict[str, list[float]]:
    """Seconds a call, round by round, of each step."""
    calls = {}
    for name, step in steps.items():
        wait(step())
        started = perf_counter()
        wait(step())
        calls[name] = max(1, round(options.seconds / (perf_counter() - started)))
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds):
        for name in steps if number % 2 else reversed(steps):
            started = perf_counter()
            for _ in range(calls[name]):
                done = steps[name]()
            wait(done)
            seconds[name].append((perf_counter() - started) / calls[name])
    return seconds
