"""The Python interpreters of this machine, by version."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from harness.environments.requirements import NotInstallableError, running_version

OLDEST = (3, 9)
"""The player's files need it."""
NEWEST_TRIED = 20
PLACES = ("Scripts/python.exe", "python.exe") if os.name == "nt" else ("bin/python", "bin/python3")
"""Where an environment's folder may have its interpreter; where `venv` puts it, first."""


def python_in(folder: Path) -> Path:
    """The interpreter of the environment in `folder`; where there is none, the place where `venv` puts one."""
    candidates = [folder / place for place in PLACES]
    return next(filter(Path.is_file, candidates), candidates[0])


def interpreter(version: str) -> Path:
    """The interpreter of this "major.minor". Raises NotInstallableError where there is none."""
    found = available()
    if version not in found:
        raise NotInstallableError(f"needs Python {version}; here are {', '.join(found)}")
    return found[version]


def available() -> dict[str, Path]:
    """Version -> interpreter: the running one, those on the PATH as pythonX.Y, and pyenv's."""
    found = {running_version(): Path(sys.executable)}
    for minor in range(OLDEST[1], NEWEST_TRIED):
        name = f"{OLDEST[0]}.{minor}"
        for path in (_on_path(name), *_of_pyenv(name)):
            if path is not None:
                found.setdefault(name, path)
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def _on_path(version: str) -> Path | None:
    path = shutil.which(f"python{version}")
    # pyenv puts a script of that name on the PATH, which may refuse to run: its own folder says more
    return Path(path) if path and "shims" not in Path(path).parts else None


def _of_pyenv(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    return sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)
