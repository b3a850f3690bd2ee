"""What plays scripts on a target: the border between a suite and whatever, and wherever, a target is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np

from harness.cases.script import Script
from harness.findings import Note
from harness.observables import DERIVATIVES

ALL_RANKS = (2, 3, 4, 5)


@dataclass(frozen=True)
class Description:
    """What a loaded target says of itself."""

    conventions: Any
    """A preset's name, a dict with a "preset" and overrides, or None: to be probed."""
    dtypes: tuple[str, ...]
    ranks: tuple[int, ...]
    methods: tuple[str, ...]
    versions: dict[str, str]
    adapter: str = ""
    """What it was wrapped as ("a torch module"); empty for a class that was written to the contract."""
    declared: tuple[str, ...] = ()
    """Which of conventions, dtypes and ranks are known of a wrapped target without trying."""
    framework: str = ""
    """The preset of the framework whose layer was wrapped; empty where there is none."""
    inherits: str = ""
    """The same, where the target is a subclass of that framework's batch norm and declares nothing itself."""
    device: str = "cpu"
    """Where it computes: "cpu", or "cuda:0 NAME"."""
    options: tuple[str, ...] = ()
    """Which of `script.OPTIONS` it offers beyond the ordinary layer."""
    summation: str = "any"
    """How it says that it sums, one of `summation_error.SUMMATIONS`: sharper bounds hold for what it promises."""
    folded: bool = False
    """Whether it says that it predicts folded into another layer, which rounds more: the bounds are those of a fold."""
    rescaled: bool = False
    """That x is multiplied by gamma/sqrt(moving_var + eps) and divided by it first: x is rounded more."""
    language: str = ""
    """What it is written in, as far as the wire tells, and the version: "Python 3.13.1"."""

    @property
    def promises(self) -> tuple[str, bool, bool]:
        """(summation, folded, rescaled): what its bounds hang on."""
        return self.summation, self.folded, self.rescaled

    def lacks(self, script: tuple[str, ...]) -> str:
        """The first derivative of a case's script that a target is known not to offer; "" where there is none."""
        absent = [op for op in script if op in DERIVATIVES and self.methods and op not in self.methods]
        return absent[0] if absent else ""


@dataclass(frozen=True)
class Failure:
    """An exception that a target raised: the name of its type, and its message on one line."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class FormError(str, Enum):  # noqa: UP042 - a player may run in Python 3.9
    """How a result breaks the contract."""

    __str__ = str.__str__

    not_a_dict = "not_a_dict"
    unknown_name = "unknown_name"


@dataclass(frozen=True)
class Malformed:
    error: FormError
    message: str


@dataclass
class StepResult:
    """What one step gave. Arrays are copies, with channels on axis 1; `values` lacks what the target lacks."""

    op: str
    session: int
    values: dict[str, np.ndarray] = field(default_factory=dict)
    error: Failure | None = None
    unsupported: str | None = None
    """Why the target cannot do this step."""
    mutated: tuple[str, ...] = ()
    """Which of x and dy the target wrote to, or tried to where they may not be written."""
    malformed: Malformed | None = None
    replicas_disagree: str = ""
    """Which statistics of which replica are not those of the first, to the bit."""


@dataclass
class Observation:
    """All steps up to the first that could not be made; `build_error` where there was no object at all."""

    steps: list[StepResult] = field(default_factory=list)
    build_error: Failure | None = None
    build_unsupported: str | None = None
    overwritten: tuple[str, ...] = ()
    """Which results of earlier calls later ones have written over."""
    first: Observation | None = None
    """What new objects gave when the script was played once before, to warm up, if that is not the same to the bit."""

    def same_as(self, other: Observation) -> bool:
        """Whether both are the same to the bit: the steps, what they gave, and what could not be done."""
        mine, theirs = (replace(played, steps=[], first=None) for played in (self, other))
        return mine == theirs and len(self.steps) == len(other.steps) and all(map(_same_bits, self.steps, other.steps))


def _same_bits(a: StepResult, b: StepResult) -> bool:
    return (
        replace(a, values={}) == replace(b, values={})
        and a.values.keys() == b.values.keys()
        and all(same_bits(a.values[name], b.values[name]) for name in a.values)
    )


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@dataclass(frozen=True)
class Repeated:
    """What scripts gave that were played in turn, again and again."""

    plays: int
    given: tuple[tuple[int, Observation], ...]
    """(Which script, what it gave): of plays that are alike to the bit the first alone."""


class DeathCause(str, Enum):  # noqa: UP042 - a player may run in Python 3.9
    __str__ = str.__str__
    crashed = "crashed"
    timed_out = "timed_out"


@dataclass(frozen=True)
class Death:
    """Why a target gave no answer at all."""

    cause: DeathCause
    message: str


class Player(Protocol):
    """Plays scripts on one target. `play` answers an Observation or a Death, and raises for neither."""

    name: str
    transformation: str
    """The name of the one through which the target is played; "" where it is played as it is."""

    @property
    def deaths(self) -> int: ...

    @property
    def last_death(self) -> Death | None: ...

    @property
    def given_up(self) -> bool:
        """Whether the target has died so often that it is not asked again."""

    def describe(self) -> Description:
        """Raises TargetError where the target cannot be loaded."""

    def narrow(self, *, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> Description:
        """Ask less of the target from now on."""

    def untransformed(self) -> Player | None:
        """Another player, of the same target without the transformation that this one is played through, if any."""

    def play(self, script: Script, channel_axis: int) -> Observation | Death: ...

    def notes(self) -> list[Note]:
        """What was noticed besides: output, changed global state, what a wrapper took for what."""

    def close(self) -> None: ...
