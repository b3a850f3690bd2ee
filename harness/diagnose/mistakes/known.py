"""Every id of the diagnosis: one sentence that says what to change, and the variants that can be replayed."""

from __future__ import annotations

from harness.diagnose.mistakes.entry import Known
from harness.diagnose.mistakes.known_derivatives import OF_DERIVATIVES
from harness.diagnose.mistakes.known_gradients import OF_GRADIENTS
from harness.diagnose.mistakes.known_layout_and_state import OF_LAYOUT_AND_STATE
from harness.diagnose.mistakes.known_modes import OF_MODES
from harness.diagnose.mistakes.known_options import OF_OPTIONS
from harness.diagnose.mistakes.known_statistics import OF_STATISTICS

KNOWN: tuple[Known, ...] = (*OF_STATISTICS, *OF_MODES, *OF_GRADIENTS, *OF_LAYOUT_AND_STATE, *OF_OPTIONS)
"""In an order in which they can be stacked: what is listed later acts on what the rest gives."""

NOT_REPLAYED = {
    "fast_variance": "the variance is E[x^2] - E[x]^2, which cancels where the mean is large: "
    "average (x - mean)^2 instead",
    "naive_summation": "sums are accumulated one by one in the input's precision: add pairwise, or in a wider type",
    "low_precision_stats": "statistics or gradients are accumulated in fewer bits than the input or float32 has: "
    "accumulate in float32 at least",
    "statistics_rounded": "the moving statistics are kept in fewer bits than the arithmetic has: keep them in float32, "
    "and in float64 where x is float64",
    "input_mutated": "the input is modified: work on a copy",
    "replicas_disagree": "the moving statistics of the replicas are not equal to the bit: merge the shards' statistics "
    "in the same order on each of them, and move all of them",
    "single_value_wrong": "one value per channel is not handled as declared: see `single_value` in the conventions",
    "empty_batch_wrong": "an empty batch spoils the moving statistics or raises: leave them as they are",
    "non_finite_output": "the result is not finite where a finite number is expected",
    "wrong_form": "a result has the wrong shape, dtype or name",
    "unexplained": "no known mistake, alone or with a second one, explains every deviation",
}

TEXTS = {known.id: known.text for known in reversed(KNOWN + OF_DERIVATIVES)} | NOT_REPLAYED
"""Every id and its sentence (the first variant's, where an id has several)."""
