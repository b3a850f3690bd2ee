"""At which commit a table was made, for its head."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit_of_this_checkout() -> str:
    """The short hash of HEAD, and whether files differ from it; "an unknown commit" outside of a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "../../*.py")
        return f"commit {git('rev-parse', '--short', 'HEAD')}" + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"
