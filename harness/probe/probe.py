"""What conventions does this black box follow? Each hypothesis is compared with what was observed; the best is named.

Nothing here is a verdict. The target gets the number 0.125 as its momentum, and which way it reads it is observed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.findings import Note
from harness.probe.defaults import find_defaults
from harness.probe.directly import channel_axis, single_value
from harness.probe.hypotheses import Fit, best_fit, play_probing_cases
from harness.probe.observed import observe
from harness.probe.presets import nearest_preset, notes_on_presets
from harness.probe.settings import ignored_settings
from harness.targets.player import Description, Player
from reference.conventions import D2L, PRESETS, Conventions


@dataclass(frozen=True)
class Probed:
    """What was inferred. `unseen` names the fields that nothing could show: they are those of `nearest`."""

    conventions: Conventions
    nearest: str
    differs: tuple[str, ...]
    """The fields in which the conventions differ from those of the nearest preset."""
    unseen: tuple[str, ...]
    observed: dict[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"conventions": self.conventions.as_dict() | {"source": "probed"}}


def probe(player: Player) -> Probed:
    """Infer the conventions of a target from outside. Raises TargetError where it cannot be loaded."""
    description = player.describe()
    dtype = "float64" if "float64" in description.dtypes else description.dtypes[0]
    axis, axis_shows = channel_axis(player, dtype, description.ranks)
    base = replace(D2L, channel_axis=axis, single_value=single_value(player, dtype, axis, description.ranks))
    fit = _best_fit_of_any_dtype(player, dtype, base, description)
    unseen = fit.unseen if axis_shows else (*fit.unseen, "channel_axis")
    defaults = find_defaults(player, fit.conventions, dtype)
    nearest, differs = nearest_preset(defaults.conventions, unseen, _declared_preset(description.conventions))
    as_in_nearest = {name: getattr(PRESETS[nearest], name) for name in unseen + defaults.unseen}
    conventions = replace(defaults.conventions, **as_in_nearest)
    ignored = ignored_settings(player, dtype, axis, description.ranks)
    notes = (*ignored, *defaults.notes, *notes_on_presets(conventions, nearest, differs, unseen))
    return Probed(conventions, nearest, differs, unseen + defaults.unseen, observe(player, conventions), notes)


def _declared_preset(conventions: Any) -> str | None:
    declared = conventions.get("preset") if isinstance(conventions, dict) else conventions
    return declared if isinstance(declared, str) else None


def _best_fit_of_any_dtype(player: Player, dtype: str, base: Conventions, description: Description) -> Fit:
    """The best hypothesis in `dtype`; or in float32, where a target that computes float64 in float32 shows more."""
    fit = best_fit(base, play_probing_cases(player, dtype, base.channel_axis, description.ranks))
    if fit.misses and dtype == "float64" and "float32" in description.dtypes:
        in_float32 = best_fit(base, play_probing_cases(player, "float32", base.channel_axis, description.ranks))
        if in_float32.misses < fit.misses:
            return in_float32
    return fit
