"""How far many jobs have got, taken together."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[float, str], None]
"""Called with how many jobs are done, those under way counted by their shares, and a word on what one of them does."""


def ignore(_done: float, _text: str) -> None:
    """Progress that nobody asked for."""


class Progress:
    """Jobs by number, each with the share of it that is done."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._shares: dict[int, float] = {}
        self._finished: set[int] = set()

    def tell(self, number: int, share: float, text: str) -> None:
        if number not in self._finished:  # what comes over a network may be late
            self._shares[number] = share
            self._on_progress(self._done, text)

    def begin_anew(self, number: int) -> None:
        self._shares.pop(number, None)

    def finish(self, number: int) -> None:
        self._finished.add(number)
        self._shares.pop(number, None)
        self._on_progress(self._done, "")

    @property
    def _done(self) -> float:
        return len(self._finished) + sum(self._shares.values())
