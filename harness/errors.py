"""The errors that a user can mend: the command line prints them in one line and exits with status 2."""

from __future__ import annotations

from collections.abc import Iterable

SIMILAR = 0.6
"""How alike a name must be to be suggested, as difflib measures it."""


class UsageError(ValueError):
    """Its message says what was expected, what came, and what to do."""


def did_you_mean(name: str, known: Iterable[str], alike: float = SIMILAR) -> str:
    """The words of an error that suggest the nearest name, with a space after them; "" where none is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=alike)
    return f"did you mean {near[0]!r}? " if near else ""


def ensure_installed(what: str, modules: Iterable[str], extra: str) -> None:
    """Raises UsageError, with the command to install them, where `what` takes modules that are not there."""
    import importlib.util

    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{what} takes {' and '.join(missing)}: pip install 'bnproof[{extra}]'")
