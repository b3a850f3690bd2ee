"""Where the project's modules and files are: at the top of a checkout, or under `bnproof` once it is installed."""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = __name__.removesuffix("harness.place")
"""Before the names of our modules: nothing in a checkout, "bnproof." once installed."""

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds harness, impls, reference and reports."""

IS_CHECKOUT = not PREFIX


def module(name: str) -> str:
    """The full name of one of our modules: "reference.training" -> "bnproof.reference.training" once installed."""
    return f"{PREFIX}{name}"


def python_path() -> str:
    """PYTHONPATH for a process of ours that starts with -P: without the working directory, where a user's file may be
    called select.py."""
    ours = ROOT.parent if PREFIX else ROOT
    return os.pathsep.join(filter(None, [str(ours), os.environ.get("PYTHONPATH")]))
