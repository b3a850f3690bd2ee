"""What conventions does this black box follow? Each hypothesis is played against what was seen; the best is named.

Nothing here is a verdict. The target gets the number 0.125 as its momentum and is watched: which way does it read it?
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from harness.cases.case import Script
from harness.cases.catalogue import BY_ID
from harness.findings import Note
from harness.judge.expected import expect
from harness.judge.judge import judge
from harness.judge.oracle import NoOracleError
from harness.probe.defaults import find_defaults
from harness.probe.observed import observe
from harness.targets.player import Death, Observation, Player
from reference.conventions import D2L, PRESETS, Conventions, same_behaviour

MOMENTUM = 0.125
PROBING = ("rank4", "rank2", "two_values", "five_steps", "small_variance")
AXIS_CASES = ("rank4", "rank3", "rank5")
SEED = 0


@dataclass
class Probed:
    """What was inferred. `unseen` names the fields that nothing could show, which then are those of `nearest`."""

    conventions: Conventions
    nearest: str
    differs: list[str]
    unseen: list[str]
    observed: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"conventions": self.conventions.as_dict() | {"source": "probed"}}


def probe(player: Player) -> Probed:
    """Infer the conventions of a target from outside. Raises TargetError where it cannot be loaded."""
    description = player.describe()
    dtype = "float64" if "float64" in description.dtypes else description.dtypes[0]
    axis, axis_seen = _channel_axis(player, dtype, description.ranks)
    single_value = _single_value(player, dtype, axis, "one_value" if 2 in description.ranks else "one_value_image")
    base = replace(D2L, channel_axis=axis, single_value=single_value)
    conventions, unseen, misses = _best_hypothesis(base, _play_all(player, dtype, axis, description.ranks))
    if misses and dtype == "float64" and "float32" in description.dtypes:  # it may compute float64 in float32
        again = _best_hypothesis(base, _play_all(player, "float32", axis, description.ranks))
        if again[2] < misses:
            conventions, unseen, _ = again
    if not axis_seen:
        unseen.append("channel_axis")
    conventions, no_default, default_notes = find_defaults(player, conventions, dtype)
    nearest, differs = nearest_preset(conventions, unseen)
    for name in unseen + no_default:
        conventions = replace(conventions, **{name: getattr(PRESETS[nearest], name)})
    notes = default_notes + _notes(conventions, nearest, differs, unseen)
    return Probed(conventions, nearest, differs, unseen + no_default, observe(player, conventions), notes)


Seen = list[tuple[str, Script, Observation]]


def _play_all(player: Player, dtype: str, axis: int, ranks: tuple[int, ...]) -> Seen:
    return [
        (case_id, script, answer)
        for case_id in PROBING
        if BY_ID[case_id].ndim in ranks
        for script in [BY_ID[case_id].make(dtype, SEED, MOMENTUM)]
        for answer in [player.play(script, axis)]
        if isinstance(answer, Observation)
    ]


def _best_hypothesis(base: Conventions, seen: Seen) -> tuple[Conventions, list[str], int]:
    """The conventions with the fewest law judgements against them, the fields that no judgement hangs on, how many."""
    hypotheses = [
        replace(base, momentum=momentum, moving_var=moving_var, eps_at=eps_at, debias=debias)
        for debias, eps_at, moving_var, momentum in product(
            (False, True), ("inside_sqrt", "outside_sqrt"), ("biased", "unbiased"), ("keep", "new")
        )
    ]
    misses = {one: _misses(one, seen) for one in hypotheses}
    best = min(hypotheses, key=lambda one: misses[one])
    unseen = []
    for name in ("momentum", "moving_var", "eps_at", "debias"):
        others = {getattr(one, name) for one in hypotheses if misses[one] == misses[best]}
        if len(others) > 1:
            unseen.append(name)
    return best, unseen, misses[best]


def _misses(conventions: Conventions, seen: Seen) -> int:
    missed = 0
    for case_id, script, observation in seen:
        try:
            expected = expect(script, conventions)
        except NoOracleError:
            continue
        missed += sum(one.counts_against for one in judge(BY_ID[case_id], script, expected, observation))
    return missed


def _channel_axis(player: Player, dtype: str, ranks: tuple[int, ...]) -> tuple[int, bool]:
    """(1 or -1, whether that could be seen): the axis on which y is normalized per channel, or the one not refused."""
    for case_id in AXIS_CASES:
        if BY_ID[case_id].ndim in ranks:
            scores = {axis: _fits_axis(player, case_id, dtype, axis) for axis in (1, -1)}
            return max(scores, key=lambda axis: scores[axis]), scores[1] != scores[-1]
    return 1, False


def _fits_axis(player: Player, case_id: str, dtype: str, axis: int) -> float:
    """How many values of y agree with a normalization per channel, whatever eps and momentum are: 0 to 1."""
    script = BY_ID[case_id].make(dtype, SEED, MOMENTUM)
    answer = player.play(script, axis)
    if isinstance(answer, Death):
        return 0.0
    shares = []
    for step, want in zip(answer.steps, expect(script, replace(D2L, single_value="any")), strict=False):
        y, expected_y = step.values.get("y"), want.values.get("y")
        if y is not None and expected_y is not None and y.shape == expected_y.shape:
            shares.append(float((np.abs(y.astype(np.float64) - expected_y) < 1e-3).mean()))
    return max(shares, default=0.0)


def _single_value(player: Player, dtype: str, axis: int, case_id: str) -> str:
    """ "error", "zero" (y is beta) or "any"."""
    script = BY_ID[case_id].make(dtype, SEED, MOMENTUM)
    answer = player.play(script, axis)
    if isinstance(answer, Death) or not answer.steps or answer.steps[0].unsupported:
        return "any"
    if answer.steps[0].error:
        return "error"
    y = answer.steps[0].values.get("y")
    beta = script.setups[0].beta
    # x*scale + shift leaves about 1e-4 of float32's x_hat; beta is 0.5 at least.
    is_beta = (
        y is not None and y.shape == BY_ID[case_id].shape and np.allclose(y.astype(float).ravel(), beta, atol=1e-3)
    )
    return "zero" if is_beta else "any"


def nearest_preset(conventions: Conventions, unseen: list[str]) -> tuple[str, list[str]]:
    """The preset with the fewest fields that differ (default numbers break ties), and those fields."""

    def distance(name: str) -> tuple[int, int, float]:
        preset = PRESETS[name]
        fields = [f for f in same_behaviour(preset, conventions) if f not in unseen]
        other_single = preset.single_value != conventions.single_value
        numbers = (preset.default_eps, preset.default_momentum) != (
            conventions.default_eps,
            conventions.default_momentum,
        )
        return len(fields), other_single, numbers

    name = min(PRESETS, key=distance)
    return name, [f for f in same_behaviour(PRESETS[name], conventions) if f not in unseen]


def _notes(conventions: Conventions, nearest: str, differs: list[str], unseen: list[str]) -> list[Note]:
    notes = []
    if differs:
        told = "; ".join(
            f"{name} is {getattr(conventions, name)!r}, in {nearest} {getattr(PRESETS[nearest], name)!r}"
            for name in differs
        )
        origins = ", ".join(f"{name} as {'/'.join(_who(conventions, name)) or 'nobody'}" for name in _TELLING)
        text = f"{origins}: no known framework does this; nearest is {nearest}: {told}"
        notes.append(Note("unknown_combination", text))
    if unseen:
        text = f"nothing shows {', '.join(unseen)}: taken from {nearest}"
        notes.append(Note("not_seen", text))
    return notes


_TELLING = ("momentum", "moving_var")


def _who(conventions: Conventions, name: str) -> list[str]:
    return [preset for preset, its in PRESETS.items() if getattr(its, name) == getattr(conventions, name)]


def show_probe(target: str, found: Probed) -> None:
    """Print what was found, and how it compares with the presets."""
    from rich.markup import escape

    from harness.cli.show import out

    same = "the preset's own" if not found.differs else f"differs in {', '.join(found.differs)}"
    out.print(f"[bold]{escape(target)}[/]: nearest preset [bold]{found.nearest}[/] ({same})", soft_wrap=True)
    for name, value in found.conventions.as_dict().items():
        mark = " (not seen)" if name in found.unseen else ""
        out.print(f"  {name:<17} {value}{mark}", highlight=False)
    for name, text in found.observed.items():
        out.print(f"  {name:<17} {escape(text)} (observed)", highlight=False, soft_wrap=True)
    for note in found.notes:
        out.print(f"  [yellow]note[/] {note.id}: {escape(note.text)}", highlight=False, soft_wrap=True)
