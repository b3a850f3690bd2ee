"""What options change in the error bounds. ERROR_BOUNDS.md, section 17, proves it."""

from __future__ import annotations

from dataclasses import replace

from reference.error_bounds import Precision


def with_divided_weights(precision: Precision) -> Precision:
    """For `moving_bound` of a cumulative average: its weights come of a division, which may be off by 2u, not by u."""
    return replace(precision, work=2 * precision.work, work_tiny=2 * precision.work_tiny)  # `flush` stays
