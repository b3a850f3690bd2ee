"""The known mistakes of options: masks, frozen layers, no moving statistics or their plain average."""

from __future__ import annotations

from harness.diagnose.mistakes import frozen, masks, other_averages
from harness.diagnose.mistakes.entry import Known

OF_OPTIONS: tuple[Known, ...] = (
    Known(
        "mask_ignored", "what the mask leaves out counts like the rest: leave it out of every statistic", masks.IGNORED
    ),
    Known(
        "mask_in_mean_only",
        "the mask is applied to one of mean and variance: apply it to both",
        masks.IN_MEAN_ONLY,
    ),
    Known(
        "mask_miscounted",
        "masked sums, or Bessel's factor, go by the number of all elements: divide by the number of those that count",
        masks.MISCOUNTED,
    ),
    Known(
        "mask_leaks",
        "the gradient reaches elements that the mask leaves out: dx is 0 there",
        masks.LEAKS,
    ),
    Known(
        "frozen_ignored",
        "a frozen layer trains, or does again once the model has switched modes: keep it in prediction",
        frozen.IGNORED,
    ),
    Known("frozen_moves_statistics", "a frozen layer moves its statistics: leave them alone", frozen.MOVES),
    Known("frozen_by_batch", "a frozen layer normalizes by the batch: use the moving statistics", frozen.BY_BATCH),
    Known(
        "frozen_dx_as_training",
        "a frozen layer's dx is the training formula: its statistics are constants, dx = gamma dy / sqrt(var + eps)",
        frozen.DX_AS_TRAINING,
    ),
    Known(
        "no_statistics_wrong",
        "a layer that keeps no statistics predicts by others than the batch's own, or differentiates as if it did",
        other_averages.NO_STATISTICS,
    ),
    Known(
        "cumulative_wrong",
        "the cumulative average weighs the t-th batch by something else than 1/t: count batches, from 1 on, and keep "
        "the count",
        other_averages.CUMULATIVE,
    ),
)
"""They show in cases that ask for an option, and are looked for there alone."""

IDS = frozenset(known.id for known in OF_OPTIONS)
