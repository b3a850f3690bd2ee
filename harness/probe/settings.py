"""Which settings does a target ignore? The same steps are played with one setting changed, and nothing may stay as it
was: a layer that ignores what it is given looks, for one value of it, like one with conventions of its own.

No oracle is asked: whatever a batch norm does with a setting, its results hang on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.cases.case import Case, Script, Setup
from harness.cases.data import gaussian
from harness.findings import Note
from harness.observables import STATISTICS
from harness.probe.hypotheses import SEED
from harness.targets.player import Observation, Player

SCALE = 0.02
CASE = Case(
    "settings",
    "a variance of the size of eps, in prediction as in training, and statistics that move twice",
    data=gaussian(0.5, SCALE),
    moving_scale=(1.0, SCALE**2),
    script=("eval", "train", "train"),
)
SHAPES = {2: (4, 5), 3: (4, 5, 6), 4: (4, 5, 2, 3), 5: (2, 5, 3, 4, 6)}
MOMENTA = (0.3, 0.6)
EPS = (3e-4, 7e-4)
"""Nobody's defaults."""
SAME = 1e-3
"""Results that differ by less than this of their size are the same. Every setting moves them by a tenth and more."""

Results = dict[str, np.ndarray]
"""The arrays of all steps, by "op number observable"."""


@dataclass(frozen=True)
class Setting:
    """A setting, how it is changed, and the results that hang on it: pairs of an op and its observables."""

    id: str
    text: str
    change: Callable[[Setup], Setup]
    moves: tuple[tuple[str, tuple[str, ...]], ...]


def _doubled(*names: str) -> Callable[[Setup], Setup]:
    def change(setup: Setup) -> Setup:
        doubled: dict[str, Any] = {name: getattr(setup, name) * 2 for name in names}
        return replace(setup, **doubled)

    return change


Y = (("train", ("y",)), ("eval", ("y",)))
START = Setting(
    "start_ignored",
    "the moving statistics that it is given to start from are ignored{}",
    _doubled("moving_mean", "moving_var"),
    (("eval", ("y", *STATISTICS)),),
)
"""Asked only of a target that shows moving statistics: another may have none."""
SETTINGS = (
    Setting(
        "momentum_ignored",
        f"momentum is ignored{{}}: the moving statistics are the same with {MOMENTA[0]} and {MOMENTA[1]}",
        lambda setup: replace(setup, momentum=MOMENTA[1]),
        (("train", STATISTICS),),
    ),
    Setting(
        "eps_ignored",
        f"eps is ignored{{}}: y is the same with {EPS[0]:g} and {EPS[1]:g}",
        lambda setup: replace(setup, eps=EPS[1]),
        Y,
    ),
    Setting("gamma_ignored", "the gamma that it is given is ignored{}", _doubled("gamma"), Y),
    Setting("beta_ignored", "the beta that it is given is ignored{}", _doubled("beta"), Y),
)
WORDS = {"train": "training", "eval": "prediction"}


def ignored_settings(player: Player, dtype: str, channel_axis: int, ranks: tuple[int, ...]) -> list[Note]:
    """A note for each setting that changes nothing. What the target does not show, or refuses, is passed over."""
    shape = next((shape for rank, shape in SHAPES.items() if rank in ranks), None)
    if shape is None:
        return []
    script = replace(CASE, shape=shape).make(dtype, SEED, MOMENTA[0], EPS[0])
    before = _results(player, script, channel_axis)
    if before is None or _stands_still(before):
        return []

    def unmoved(setting: Setting) -> list[str]:
        after = _results(player, replace(script, setups=tuple(map(setting.change, script.setups))), channel_axis)
        return [] if after is None else list(_unmoved(setting, before, after))

    notes = []
    start_ignored = any(key.split()[-1] in STATISTICS for key in before) and bool(unmoved(START))
    if start_ignored:
        notes.append(Note(START.id, START.text.format("")))
    for setting in SETTINGS:
        modes = unmoved(setting)
        if setting.id == "eps_ignored" and start_ignored:
            modes = [mode for mode in modes if mode != "eval"]  # beside a variance of its own eps may be too small
        if modes:
            where = "" if len(modes) == len(setting.moves) else f" in {WORDS[modes[0]]}"
            notes.append(Note(setting.id, setting.text.format(where)))
    return notes


def _results(player: Player, script: Script, channel_axis: int) -> Results | None:
    """None where the target dies, raises or refuses."""
    answer = player.play(script, channel_axis)
    if not isinstance(answer, Observation) or answer.build_error or answer.build_unsupported is not None:
        return None
    if any(result.error for result in answer.steps):
        return None
    return {
        f"{result.op} {number} {name}": value.astype(np.float64)
        for number, result in enumerate(answer.steps)
        for name, value in result.values.items()
    }


def _stands_still(results: Results) -> bool:
    """Whether no training step moves a statistic that is shown: nothing can be said of momentum then."""
    first, last = "eval 0 ", f"train {len(CASE.script) - 1} "
    shown = [name for name in STATISTICS if first + name in results and last + name in results]
    return bool(shown) and all(_same(results[first + name], results[last + name]) for name in shown)


def _unmoved(setting: Setting, before: Results, after: Results) -> Iterator[str]:
    """The modes in which something of the setting's shows, and nothing of it has changed."""
    for mode, names in setting.moves:
        keys = [key for key in before.keys() & after.keys() if key.startswith(mode) and key.split()[-1] in names]
        if keys and all(_same(before[key], after[key]) for key in keys):
            yield mode


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are finite and the same but for rounding."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    return float(np.abs(a - b).max(initial=0.0)) <= SAME * float(np.abs(a).max(initial=0.0))
