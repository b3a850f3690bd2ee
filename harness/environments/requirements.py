"""What an environment must hold."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.environments.programs import fingerprint

KEY_DIGITS = 16


class NotInstallableError(Exception):
    """An environment that cannot be had here. The message is the reason, on one line."""


@dataclass(frozen=True)
class Requirements:
    """Equal requirements share one environment."""

    pip: tuple[str, ...] = ()
    """As pip takes them: "flax==0.8.5", "jax<0.5"."""
    npm: tuple[str, ...] = ()
    """As npm takes them: "onnxruntime-web@1.19"."""
    debian: tuple[str, ...] = ()
    """Debian packages. They are looked for, never installed: that takes an administrator."""
    programs: tuple[str, ...] = ()
    """Programs that must be on the PATH: "node", "g++"."""
    sources: tuple[str, ...] = ()
    """Paths of C++ files. The first is built into a program by itself, with what it includes of the others."""
    flags: tuple[str, ...] = ()
    """For its compiler, after the file: "-ldnnl"."""
    python: str = ""
    """"3.10"; empty: the version that runs."""
    uploaded_before: str = ""
    """An ISO date. Only packages that were there by then: an old release with the companions of its time."""

    @property
    def python_version(self) -> str:
        return self.python or running_version()

    @property
    def key(self) -> str:
        """Names the environment's folder: the same for equal requirements on the same kind of machine."""
        content = asdict(self) | {
            "pip": sorted({plain(line) for line in self.pip}),
            "npm": sorted(self.npm),
            "python": self.python_version,
        }
        for name in ("debian", "programs", "sources", "flags"):
            del content[name]  # nothing of these is in the folder, but for a program that is built from them
        if self.sources:
            content["program"] = fingerprint(self.sources, self.flags, self.debian)
        content["machine"] = f"{platform.system()} {platform.machine()}"
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]

    def __str__(self) -> str:
        if self.sources:
            return f"{Path(self.sources[0]).name}, built with {' '.join(self.debian) or 'no package'}"
        parts = [*self.pip, *(f"{name} (npm)" for name in self.npm)]
        by = f" of {self.uploaded_before[:10]}" if self.uploaded_before else ""
        return f"{' '.join(parts) or 'nothing'}{by}, Python {self.python_version}"


def plain(line: str) -> str:
    """A requirement as pip understands it, whatever its spaces; a file or an address as it stands."""
    is_name_and_version = re.fullmatch(r"\s*[\w.-]+\s*(\[[\w,. -]*\])?\s*([<>=!~][\w<>=!~.*+, ]*)?", line)
    if is_name_and_version is None or line.endswith((".whl", ".gz", ".zip")):
        return line
    return re.sub(r"\s", "", line)


def running_version() -> str:
    """The running Python's "major.minor"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
