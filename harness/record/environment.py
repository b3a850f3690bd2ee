"""The machine and the versions that a result was made with, found without importing a framework."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.place import IS_CHECKOUT, ROOT

INSTRUCTIONS = (
    "ATEN_CPU_CAPABILITY",
    "BNPROOF_ARCH",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "XLA_FLAGS",
)
"""Environment variables that tell a library which of the processor's instructions it may use."""
PACKAGES = ("bnproof", "numpy", "torch", "torchvision", "jax", "jaxlib", "flax", "optax", "ml_dtypes")


@dataclass(frozen=True)
class Environment:
    """Where a result was made."""

    python: str
    platform: str
    """The system and its architecture: "Linux x86_64"."""
    processor: str
    cores: int | None
    """Those that this process may use."""
    packages: dict[str, str]
    """Name -> version, of those that are installed."""
    commit: str | None = None
    """bnproof's own, where it runs from a git checkout of itself."""
    accelerators: tuple[str, ...] = ()
    """The GPUs that nvidia-smi lists, by name."""
    instructions: dict[str, str] = field(default_factory=dict)
    """Those of `INSTRUCTIONS` that are set: the libraries do not use all that the processor has."""

    @property
    def machine(self) -> str:
        """In a line: "AMD EPYC, 2 cores, OPENBLAS_CORETYPE=Haswell"."""
        return ", ".join([self.processor, f"{self.cores} cores", *map("=".join, self.instructions.items())])


def environment() -> Environment:
    """The environment of this process."""
    versions = {name: _version(name) for name in PACKAGES}
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        packages={name: version for name, version in versions.items() if version},
        commit=own_commit(ROOT) if IS_CHECKOUT else None,
        accelerators=_accelerators(),
        instructions={name: os.environ[name] for name in INSTRUCTIONS if os.environ.get(name)},
    )


def version() -> str:
    """bnproof's own version. A checkout need not be installed: then its pyproject.toml has it."""
    if not IS_CHECKOUT:
        return importlib.metadata.version("bnproof")
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _accelerators() -> tuple[str, ...]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def own_commit(folder: Path) -> str | None:
    """The commit of the repository whose top level is `folder`; None where it is none, or a part of another one."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--show-toplevel", "--short", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    top_level, _, commit = answer.stdout.strip().rpartition("\n")
    return commit if Path(top_level).resolve() == folder.resolve() else None
