"""Bounds of training steps, kept: a step comes again under another momentum, and where modes may be mistaken."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np

from harness.judge.oracle import OracleLayer
from reference.error_bounds import Precision, train_bounds

KEPT = 2048
"""How many steps are kept: those of the full suite in every dtype under two sets of conventions."""
SMALL = 64 * 1024
"""Bytes of a step's rows. Larger steps are few, and would fill the memory."""

_kept: OrderedDict[Hashable, dict[str, np.ndarray]] = OrderedDict()


def kept_train_bounds(
    rows: np.ndarray, dy_rows: np.ndarray, layer: OracleLayer, precision: Precision, extra: np.ndarray, summation: str
) -> dict[str, np.ndarray]:
    """`train_bounds` of (n, C) rows for the layer's gamma, beta, eps and eps_at; its arrays may not be written to."""
    given = (rows, dy_rows, layer.gamma, layer.beta)
    settings: dict[str, Any] = {
        "eps_at": layer.conventions.eps_at,
        "extra_var_error": extra,
        "summation": summation,
    }
    if rows.nbytes > SMALL:
        return train_bounds(*given, layer.eps, precision, **settings)
    key = (
        *((a.shape, a.dtype.str, a.tobytes()) for a in (*given, extra)),
        layer.eps,
        precision,
        layer.conventions.eps_at,
        summation,
    )
    if key not in _kept:
        _kept[key] = train_bounds(*given, layer.eps, precision, **settings)
        for bound in _kept[key].values():
            bound.flags.writeable = False
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    return dict(_kept[key])
