"""What a layer's constructor calls the options of the contract, and how its call takes a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from harness.cases.script import OPTIONS
from harness.targets.wrap import common
from reference.conventions import conventions_from

ALL = tuple(option for option in OPTIONS if option != "masked")
"""What a wrapped layer is asked for. Whether it has it shows when it is built."""
WITHOUT_SCALE = ("use_scale", "scale")
WITHOUT_SHIFT = ("use_bias", "center", "bias")
WITHOUT_BOTH = ("affine",)
WITHOUT_STATISTICS = ("track_running_stats", "keeps_statistics")


def keywords(target: Callable[..., Any], setup: Any) -> dict[str, bool]:
    """The arguments that build the layer without what `setup` lacks, or with a cumulative average.

    Raises NotImplementedError where its constructor has none for that.
    """
    parameters = common.parameters_of(target)
    wanted = {
        "scale": setup.gamma is None,
        "shift": setup.beta is None,
        "moving statistics": setup.moving_mean is None,
        "cumulative average": setup.cumulative,
    }
    found: dict[str, bool] = {}
    both = common.first(WITHOUT_BOTH, parameters)
    if wanted["scale"] and wanted["shift"] and both:
        found[both] = False
        wanted["scale"] = wanted["shift"] = False
    for what, names, value in (
        ("scale", WITHOUT_SCALE, False),
        ("shift", WITHOUT_SHIFT, False),
        ("moving statistics", WITHOUT_STATISTICS, False),
        ("cumulative average", ("cumulative",), True),
    ):
        name = common.first(names, parameters) if wanted[what] else None
        if name:
            found[name] = value
            wanted[what] = False
    missing = [what for what, is_missing in wanted.items() if is_missing]
    if missing:
        raise NotImplementedError(f"{common.called(target)} has no argument for {sentence_of(missing)}")
    return found


def sentence_of(missing: list[str]) -> str:
    named = {
        "scale": "a layer without scale, which has its shift",
        "shift": "a layer without shift, which has its scale",
        "moving statistics": "a layer without moving statistics",
        "cumulative average": "a cumulative average",
    }
    if missing[:2] == ["scale", "shift"]:
        return "a layer without scale and shift"
    return named[missing[0]]


def built_with(setup: Any, names: tuple[str, ...] = ("gamma", "beta")) -> tuple[str, ...]:
    """Those of the arrays that the layer must have."""
    return tuple(name for name in names if getattr(setup, name) is not None)


def without_absent(paths: Mapping[str, str], setup: Any) -> dict[str, str]:
    """The paths of what `setup` has."""
    return {ours: path for ours, path in paths.items() if getattr(setup, ours) is not None}


def takes_mask(call: Callable[..., Any]) -> bool:
    return "mask" in common.parameters_of(call)


def with_channels(mask: np.ndarray | None, ndim: int, layer: Any) -> np.ndarray | None:
    """(N, ...) without the channel axis -> with one of size 1, where the layer has it, to broadcast against x."""
    if mask is None:
        return None
    declared = getattr(layer, "conventions", None)
    axis = getattr(layer, "axis", -1) if declared is None else conventions_from(declared).channel_axis
    return np.expand_dims(mask, axis % ndim)
