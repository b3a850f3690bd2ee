"""A target played in this very process, by the same calls as an isolated one: for those that are trusted not to die."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.cases.script import Script
from harness.findings import Note
from harness.targets.describe import describe
from harness.targets.play import play
from harness.targets.player import Death, Description, Observation
from harness.targets.through.names import split_through


class InProcessTarget:
    """The player of a factory that takes a `setup`: a class of the contract, or what a wrapper made of a layer."""

    deaths = 0
    last_death: Death | None = None
    given_up = False

    def __init__(self, factory: Any) -> None:
        self.name: str = factory.__name__
        self.transformation = split_through(self.name)[1]
        self.factory = factory
        self._description = describe(factory)

    def describe(self) -> Description:
        return self._description

    def narrow(self, *, ranks: tuple[int, ...], dtypes: tuple[str, ...]) -> Description:
        self._description = replace(self._description, ranks=ranks, dtypes=dtypes)
        return self._description

    def untransformed(self) -> InProcessTarget | None:
        factory = getattr(self.factory, "untransformed", None)
        return None if factory is None else InProcessTarget(factory)

    def play(self, script: Script, channel_axis: int) -> Observation:
        with np.errstate(all="ignore"):
            return play(self.factory, script, channel_axis)

    def notes(self) -> list[Note]:
        return [Note(id, text) for id, text in getattr(self.factory, "adapter_notes", {}).items()]

    def close(self) -> None:
        """Nothing to end."""
