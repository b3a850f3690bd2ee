"""The numbers that diagnosis rests on. No verdict hangs on any of them: they decide only what a failure is called.

Each is read as `tuning.NAME` where it decides. `tests/experiments/TUNING.md` has what every mutant is called with each
at a quarter, half, twice and four times its value; `tests/test_diagnose.py` moves each and sees a mutant misnamed.
"""

# --- how close a replayed mistake must come ---

SLACK = 4.0
"""By how many bounds a replayed mistake may miss: the bound is that of the right formula, and the wrong one rounds
otherwise. Measured: 2 is too few for eps outside the root with its own gradient, 16 does not harm. Every mistake moves
some observable by 100 bounds, so that it stays well below that."""

NUDGE_ULPS = 8.0
"""By how many units in the last place the inputs of a replay are moved, to see how far a mistake magnifies rounding.
Derived: y = gamma * (x - mean) / sqrt(var + eps) + beta takes seven roundings, and one for the result's own dtype.
Measured: 4 is too few, 32 does not harm."""

NUDGED_REPLAYS = 2
"""How often. Derived: the moving averages err to either side, and each side is tried once. Measured: 1 is too few."""

NOT_ROUNDING = 0.3
"""A deviation of this share of a channel's largest value is no matter of rounding, however sensitive the mistake is:
it spares the nudged replays. Measured: nothing changes from 0.075 to 1.2; at 0 no mistake is given its sensitivity."""

MUST_SHRINK_TO = 0.9
"""What is left of a failing case's deviation with the mistake, at most, as a share of what it is without: where the
tolerance is wide enough for both, the mistake explains nothing. Measured: nothing changes from 0.225 to 3.6."""

# --- two mistakes at once ---

CASES_COMPARED = 3
"""In how many cases two mistakes must not contradict what was observed before they are replayed together. It decides
how many pairs are replayed. Measured: nothing changes from 1 to 12."""

CLEAR_FACTOR = 4.0
"""What two mistakes move is compared by this factor either side of the tolerance, so that no rounding decides. Derived:
it is SLACK. Measured: nothing changes from 1 to 16; below 1 what one mistake moves would have to be shown by both."""

# --- what tells rounding from a wrong formula ---

SHARE_OF_ENVELOPE = 4e-3
"""Statistics in fewer bits err by about those bits' roundoff: an error below this share of the envelope's bound, 2^-8,
is something else. Measured: the real mistakes reach 0.08 and more; at 0.2 float64 in float32 is not recognised."""

FAR_MEAN_OVER_STD = 50.0
"""From this mean/std on a fast variance must show in some case. Derived: it errs by n u (mean/std)^2 of the variance,
2,500 times what two passes do. Measured: nothing changes from 12.5 to 200."""

ERRORS_TO_TELL_SIDES = 30
"""From so many errors on it tells something that all are on the same side. Derived: 29 of 30
signs are the same by chance with a probability of 6e-8. Measured: nothing changes from 8 to 120."""

ONE_SIDED = 0.9
"""A mean sign of this size is one side. Measured: at 1 and above a mean that is too large is taken for rounding, at 0.1
sums in 16 bits are not recognised."""

# --- notes ---

PAIRWISE_MARGIN = 4.0
"""How many times more than a tree of additions the mean of many values must err before its sum is called naive.
Measured: trees and Welford stay below 2, the mildest sum one by one is between 4 and 8."""
