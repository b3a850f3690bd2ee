"""Which preset probed conventions are nearest to, and what is noted where they equal none."""

from __future__ import annotations

from harness.findings import Note
from reference.conventions import PRESETS, Conventions, same_behaviour

CHARACTERISTIC = ("momentum", "moving_var")
"""The fields by which a framework is recognised."""


def nearest_preset(
    conventions: Conventions, unseen: tuple[str, ...], declared: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The preset with the fewest fields that differ, and those fields.

    Ties are broken by the preset that the target declares, then by the default numbers.
    """

    def differing(name: str) -> tuple[str, ...]:
        return tuple(field for field in same_behaviour(PRESETS[name], conventions) if field not in unseen)

    def distance(name: str) -> tuple[int, bool, bool, bool]:
        preset = PRESETS[name]
        other_single_value = preset.single_value != conventions.single_value
        other_defaults = _defaults(preset) != _defaults(conventions)
        return len(differing(name)), name != declared, other_single_value, other_defaults

    nearest = min(PRESETS, key=distance)
    return nearest, differing(nearest)


def _defaults(conventions: Conventions) -> tuple[float, float]:
    return conventions.default_eps, conventions.default_momentum


def notes_on_presets(
    conventions: Conventions, nearest: str, differs: tuple[str, ...], unseen: tuple[str, ...]
) -> list[Note]:
    """What no known framework does, and what could not be observed."""
    notes = []
    if differs:
        differences = "; ".join(
            f"{name} is {getattr(conventions, name)!r}, in {nearest} {getattr(PRESETS[nearest], name)!r}"
            for name in differs
        )
        seen = [name for name in CHARACTERISTIC if name not in unseen] or list(differs)
        origins = ", ".join(f"{name} as {_who(conventions, name)}" for name in seen)
        text = f"{origins}: no known framework does this; nearest is {nearest}: {differences}"
        notes.append(Note("unknown_combination", text))
    if unseen:
        notes.append(Note("not_seen", f"nothing shows {', '.join(unseen)}: taken from {nearest}"))
    return notes


def _who(conventions: Conventions, name: str) -> str:
    """The presets that have the same value in this field: "torch/onnx"."""
    same = [preset for preset, its in PRESETS.items() if getattr(its, name) == getattr(conventions, name)]
    return "/".join(same) or "nobody"
