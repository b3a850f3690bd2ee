"""Exit statuses, the two consoles, the bar, and the JSON that commands write."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from harness.errors import UsageError
from harness.record.files import write_whole
from harness.record.ledger import plain
from harness.record.private import without_places

AGREED, FAULTY, USAGE, DIED, NOTHING_JUDGED = 0, 1, 2, 3, 4

_bars: list[Progress] = []
"""The bar that is on the screen, if there is one."""


UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What would command the terminal, or turn the reading direction."""


def harmless(text: str) -> str:
    """Words of a target for a terminal: what would command it is shown as its code."""
    return UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


class BesideBar(Console):
    """A console that takes the bar off the screen while it prints: both may be the same terminal.

    Whatever words it is given, it prints words: no escape of theirs reaches the terminal.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        objects = tuple(harmless(each) if isinstance(each, str) else each for each in objects)
        with contextlib.ExitStack() as stack:
            for bar_on_screen in _bars:
                bar_on_screen.stop()
                stack.callback(bar_on_screen.start)
            super().print(*objects, **options)


COLOURS = {
    "agree": "green", "known": "cyan", "inconclusive": "yellow", "unsupported": "yellow", "not_run": "yellow",
}  # fmt: skip


def coloured(verdict: str) -> str:
    return f"[{COLOURS.get(verdict, 'red')}]{verdict}[/]"


WIDTH_OF_NO_TERMINAL = 10_000

out = BesideBar()
err = BesideBar(stderr=True)
bar_console = Console(stderr=True)


def say(text: str, style: str | None = None) -> None:
    """One line as it is: brackets in a path are no markup, and no width breaks it, so that it can be copied."""
    out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def table(title: str | None, headings: Sequence[str]) -> Table:
    """A table without lines. On a narrow terminal words go on below: no name is cut, and all can be copied."""
    made = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_table(made: Table) -> None:
    """One line a row where no terminal sets the width, as for `| grep`."""
    console = out if out.is_terminal else BesideBar(width=WIDTH_OF_NO_TERMINAL)
    console.print(made)


class Update(Protocol):
    def __call__(
        self,
        completed: float | None = None,
        description: str | None = None,
        advance: int | None = None,
        total: int | None = None,
    ) -> None: ...


@contextlib.contextmanager
def bar(description: str, total: int | None) -> Iterator[Update]:
    """A progress bar on stderr, where that is a terminal. Yields what moves it; a new total starts it anew."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(
        *columns,
        TimeRemainingColumn(),
        console=bar_console,
        transient=True,
        disable=not bar_console.is_terminal,
        redirect_stdout=False,
    )
    task = progress.add_task(escape(description), total=total)

    def update(
        completed: float | None = None,
        description: str | None = None,
        advance: int | None = None,
        total: int | None = None,
    ) -> None:
        if total is not None:
            progress.reset(task, total=total)
        changes = {"completed": completed, "advance": advance, "description": description and escape(description)}
        progress.update(task, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]

    with progress:
        _bars.append(progress)
        try:
            yield update
        finally:
            _bars.remove(progress)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """One JSON object, or nothing at all. Raises UsageError where the file cannot be written."""
    if path is not None:
        write_whole(path, json.dumps(without_places(plain(content)), allow_nan=False, indent=1) + "\n")


def prepare_folder(folder: Path, option: str = "--out") -> None:
    """Make the folder and see that it can be written, before any work is done. option: by which it was named."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"cannot write to {folder}: {reason}; name another folder with {option}") from error
