"""By what a verdict was reached, where the target itself declares nothing: inherited conventions, or probed ones."""

from __future__ import annotations

from harness.judge.report import TargetReport
from reference.conventions import PRESETS, same_behaviour


def basis(report: TargetReport) -> str:
    """What belongs after the verdict: "" where the conventions are the target's own, or were named by the user.

    A probed layer agrees with itself: that its momentum is inverted shows only beside its framework's layers.
    """
    description = report.description
    if description is None or report.conventions is None:
        return ""
    if report.source == "declared" and description.inherits:
        return f"by {description.inherits}'s conventions, as a subclass of its layer"
    if report.source != "probed":
        return ""
    if not description.framework:
        return "as probed"
    preset = PRESETS[description.framework]
    fields = [name for name in same_behaviour(preset, report.conventions) if name not in report.unseen]
    if not fields:
        return f"as probed: like {description.framework}'s layers"
    own = ", ".join(f"{name}={getattr(report.conventions, name)}" for name in fields)
    theirs = ", ".join(str(getattr(preset, name)) for name in fields)
    return f"as probed: {own}; {description.framework}'s layers take {theirs}"
