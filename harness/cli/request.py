"""What is asked of `bnproof check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SECONDS = 30.0
"""How long a case may take, unless --timeout says otherwise."""


@dataclass(frozen=True)
class CheckRequest:
    """The options of one call of it."""

    targets: tuple[str, ...]
    suite: str = "full"
    case_ids: tuple[str, ...] = ()
    seed: int = 0
    timeout: float = SECONDS
    as_preset: str | None = None
    input_file: Path | None = None
    layer: str = ""
    known_file: Path | None = None
    markdown_file: Path | None = None
    json_file: Path | None = None
    badge_file: Path | None = None
    junit_file: Path | None = None
    annotations: bool = False
    """Whether what differs is printed as GitHub's annotations."""
    threads: int | None = None
    python: str | None = None
    """The environment in which the targets are played: a folder, an interpreter, or the name of one."""
    jobs: int | None = None
    """How many processes check targets side by side; None: one."""
    scheduler: str | None = None
    """Of a Dask cluster whose workers check them instead."""
    resume: Path | None = None
    """Where the targets' answers are kept, so that a check that was killed goes on."""
    through: tuple[str, ...] = ()
    """The transformations through which each target is played, one after the other; none: as it is."""
    replicas: int = 0
    """By how many replicas each target is played; 0: as its name says."""
    shards: str = "even"
    """How a batch is dealt out over them: one of `harness.targets.replicas.shards.SHARDS`."""
    same_in_training: bool = False
    """Whether a target must have another's results in training as well."""
    device: str = "cpu"
    """Where the targets compute whose names do not say it."""
