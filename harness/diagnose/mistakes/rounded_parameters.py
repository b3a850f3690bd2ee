"""Parameters rounded to 16-bit input's own type: what a call that promotes everything to x's dtype does to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.cases.case import numpy_dtype
from harness.cases.script import Setup
from harness.judge.oracle import OracleLayer
from reference.conventions import Conventions

SIXTEEN_BITS = ("bfloat16", "float16")


class RoundedParameters(OracleLayer):
    """gamma and beta are rounded, and in prediction the moving statistics, which are kept in full."""

    alone = True
    narrow: str | None = None

    @classmethod
    def from_setup(cls, setup: Setup, conventions: Conventions) -> OracleLayer:
        narrow = setup.dtype if setup.dtype in SIXTEEN_BITS else None
        given = {name: getattr(setup, name) for name in ("gamma", "beta")}
        rounded: dict[str, Any] = {name: _rounded(a, narrow) for name, a in given.items() if a is not None}
        layer = super().from_setup(replace(setup, **rounded), conventions)
        layer.narrow = narrow  # type: ignore[attr-defined]
        return layer

    def eval_step(self, x, dy):
        kept = self.average_mean, self.average_var
        self.average_mean, self.average_var = (_rounded(average, self.narrow) for average in kept)
        try:
            return super().eval_step(x, dy)
        finally:
            self.average_mean, self.average_var = kept


def _rounded(array, narrow):
    return array if narrow is None else array.astype(numpy_dtype(narrow)).astype(array.dtype)
