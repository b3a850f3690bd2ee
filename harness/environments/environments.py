"""Make, find, list and remove environments.

Each is a virtual environment in a folder named by its requirements. It is finished when its `environment.json` is
there; a folder without one was broken off, and is made anew. Files that several have alike take their space once.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.environments import sharing
from harness.environments.alone import BusyError, Hold, alone
from harness.environments.installer import Installer
from harness.environments.interpreters import interpreter, python_in
from harness.environments.programs import COMPILERS, PROGRAM, build_command, compiler, debian_versions
from harness.environments.requirements import NotInstallableError, Requirements

FOLDER = "BNPROOF_ENVIRONMENTS"
"""An environment variable: where environments are kept, in place of the user's cache."""
RECORD = "environment.json"
CONTENTS = "contents"
"""The folder with a link to each file that environments share."""
INSTALL_SECONDS = 900.0
DATED = ("PIP_INDEX_URL", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_DEFAULT_TIMEOUT", "PIP_CACHE_DIR")
"""Of pip's settings, those that an environment with a date may have."""
INSTALLER = Requirements(pip=("pip>=26",))
"""The first that can leave out what was uploaded later, `--uploaded-prior-to`."""


@dataclass(frozen=True)
class VirtualEnvironment:
    folder: Path
    requirements: Requirements
    versions: dict[str, str]
    """Distribution -> version, of all that pip put there; of a built program, Debian package -> version."""
    made: str
    seconds: float

    @property
    def python(self) -> Path:
        return python_in(self.folder)

    @property
    def program(self) -> Path:
        """Of requirements that have sources."""
        return self.folder / PROGRAM


def root() -> Path:
    """The folder of all environments."""
    if chosen := os.environ.get(FOLDER):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("bnproof") / "environments"


def ignore(_: str) -> None:
    """Progress that nobody asked for."""


def find(requirements: Requirements) -> VirtualEnvironment | None:
    """The environment, if it has been made."""
    return _read(root() / requirements.key)


def made() -> list[VirtualEnvironment]:
    """All that are there, the oldest first."""
    folders = sorted(root().iterdir()) if root().is_dir() else []
    return sorted(filter(None, map(_read, folders)), key=lambda environment: environment.made)


def make(
    requirements: Requirements, on_line: Callable[[str], None] = ignore, limit: float = INSTALL_SECONDS
) -> VirtualEnvironment:
    """The environment, made if it is not there yet. on_line: called with each line that an installer prints.

    limit: seconds. Raises NotInstallableError with the reason; then nothing is left of it.
    """
    _look_for(requirements)
    folder = root() / requirements.key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder) as hold:
            if there := _read(folder):
                return there
            shutil.rmtree(folder, ignore_errors=True)
            try:
                environment = _build(requirements, folder, on_line, limit, hold)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            sharing.share(folder, root() / CONTENTS)
            return environment
    except BrokenPipeError:  # whoever reads the progress is gone
        raise
    except OSError as error:  # a disk that is full, a folder that cannot be written to
        raise NotInstallableError(f"{error.filename or folder}: {error.strerror or error}") from error


def remove(environment: VirtualEnvironment) -> None:
    """What it shares with others stays theirs."""
    with alone(environment.folder):
        (environment.folder / RECORD).unlink(missing_ok=True)  # first: half of it is none
        shutil.rmtree(environment.folder, ignore_errors=True)


def share_all(on_each: Callable[[str, sharing.Saved], None]) -> None:
    """Let all that are there share their files, and drop what none has any more. on_each: key, what it saved."""
    for environment in made():
        with alone(environment.folder):
            on_each(environment.folder.name, sharing.share(environment.folder, root() / CONTENTS))
    tidy()


def tidy() -> None:
    """Remove what is in no environment: files that none shares any more, and environments that were broken off.

    What another process makes at this moment is left to it.
    """
    for folder in root().iterdir() if root().is_dir() else ():
        if folder.is_dir() and folder.name != CONTENTS and _read(folder) is None:
            with contextlib.suppress(BusyError), alone(folder, wait=False):
                if _read(folder) is None:
                    shutil.rmtree(folder, ignore_errors=True)
    sharing.prune(root() / CONTENTS)


def _build(
    requirements: Requirements, folder: Path, on_line: Callable[[str], None], limit: float, hold: Hold
) -> VirtualEnvironment:
    started = time.monotonic()
    installer = Installer(on_line, started + limit, _variables(requirements), hold)
    if requirements.sources:
        folder.mkdir()
        installer.run(build_command(requirements.sources, requirements.flags, folder))
        versions = debian_versions(requirements.debian)
    else:
        versions = _build_with_pip(requirements, folder, installer)
    environment = VirtualEnvironment(
        folder=folder,
        requirements=requirements,
        versions=versions,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
    )
    _write(environment)
    return environment


def _build_with_pip(requirements: Requirements, folder: Path, installer: Installer) -> dict[str, str]:
    """Returns distribution -> version."""
    venv = [str(interpreter(requirements.python_version)), "-m", "venv"]
    if requirements == INSTALLER:
        commands = [[*venv, str(folder)], [str(python_in(folder)), "-m", "pip", "install", *INSTALLER.pip]]
        pip = [str(python_in(folder)), "-m", "pip"]
    else:
        commands = [[*venv, "--without-pip", str(folder)]]
        pip = [str(_pips_python(requirements, installer.on_line)), "-m", "pip", "--python", str(python_in(folder))]
        commands += _installing(requirements, folder, pip)
    for command in commands:
        installer.run(command)
    listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, text=True, check=True)
    return {each["name"]: each["version"] for each in json.loads(listed.stdout)}


def _installing(requirements: Requirements, folder: Path, pip: list[str]) -> list[list[str]]:
    commands = []
    if requirements.pip:
        before = ["--uploaded-prior-to", requirements.uploaded_before] if requirements.uploaded_before else []
        commands.append([*pip, "install", "--prefer-binary", *before, *requirements.pip])
    if requirements.npm:
        commands.append(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *requirements.npm])
    return commands


def _pips_python(requirements: Requirements, on_line: Callable[[str], None]) -> Path:
    """An interpreter that has pip: the running one, or where dates matter an environment that has a new one."""
    # not importlib.util.find_spec: setuptools' finder warns there where distutils is imported already
    if not requirements.uploaded_before and importlib.machinery.PathFinder.find_spec("pip") is not None:
        return Path(sys.executable)
    return make(INSTALLER, on_line).python


def _variables(requirements: Requirements) -> dict[str, str]:
    """For installers. Where dates matter, pip asks one index only: a folder or an index without dates knows no time."""
    if not requirements.uploaded_before:
        return dict(os.environ)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_") or name in DATED}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def _look_for(requirements: Requirements) -> None:
    """What is not installed by us must be here. Raises NotInstallableError."""
    programs = [*requirements.programs, *(["npm", "node"] if requirements.npm else [])]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise NotInstallableError(f"needs {' and '.join(missing)}, which is not on the PATH")
    if requirements.sources and compiler() is None:
        raise NotInstallableError(f"needs a C++ compiler, {', '.join(COMPILERS)}: none is on the PATH")
    there = debian_versions(requirements.debian) if requirements.debian else {}
    absent = [package for package in requirements.debian if package not in there]
    if absent:
        raise NotInstallableError(f"needs Debian packages: apt-get install {' '.join(absent)}")


def _write(environment: VirtualEnvironment) -> None:
    content = asdict(environment)
    del content["folder"]
    unfinished = environment.folder / f"{RECORD}.part"
    unfinished.write_text(json.dumps(content, indent=1))
    unfinished.rename(environment.folder / RECORD)


def _read(folder: Path) -> VirtualEnvironment | None:
    """None where it was broken off, or is of another version of this program."""
    try:
        content: dict[str, Any] = json.loads((folder / RECORD).read_text())
        asked: dict[str, Any] = content.pop("requirements")
        tuples: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in asked.items()}
        environment = VirtualEnvironment(folder=folder, requirements=Requirements(**tuples), **content)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return environment if _fits(environment) else None


def _fits(environment: VirtualEnvironment) -> bool:
    """Whether every field has its type."""
    words: list[Any] = [environment.made]
    for value in (environment.versions, *asdict(environment.requirements).values()):
        words += value.items() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
    words = [word for each in words for word in (each if isinstance(each, tuple) else [each])]
    return (
        isinstance(environment.versions, dict)
        and type(environment.seconds) in (int, float)
        and all(isinstance(word, str) for word in words)
    )
