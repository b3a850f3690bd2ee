"""Answers to what people ask of two frameworks, in a sentence, from conventions."""

from __future__ import annotations

from reference.conventions import Conventions


def why_moving_var_is_not_numpys(conventions: Conventions, n: int) -> str:
    """Why does running_var not match NumPy? n: values a channel of the batch that is the example."""
    keep, new = (
        conventions.keep_weight(conventions.default_momentum),
        conventions.new_weight(conventions.default_momentum),
    )
    moved = f"and one step moves it by {new:.4g} of the way only: {keep:.4g} of the old value stays"
    if conventions.debias:
        moved = "divided by 1 - keep^t, so that after one step from zero it is the batch's own"
    if conventions.moving_var == "unbiased":
        return (
            f"moving_var averages sum/(n-1), NumPy's x.var() is sum/n: of n = {n} values it is n/(n-1) = "
            f"{n / (n - 1):.6f} times that (x.var(ddof=1)), {moved}"
        )
    return (
        f"moving_var averages sum/n as NumPy's x.var() does, not n/(n-1) = {n / (n - 1):.6f} times that for n = {n}, "
        f"{moved}"
    )
