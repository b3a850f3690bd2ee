"""Where each built-in target of the matrix is judged: here, if it is installed, else in an environment made for it."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.environments.environments import make
from harness.environments.requirements import NotInstallableError
from harness.targets.built_in import BUILT_IN, environment_of, is_installed
from harness.targets.built_in_kind import JSON_FOR_CPP


@dataclass(frozen=True)
class WhereToJudge:
    """An environment in which a target can be judged, or the reason why there is none."""

    python: str | None = None
    """The interpreter; None: the one that runs."""
    versions: dict[str, str] = field(default_factory=dict)
    """What the target needs -> its version there."""
    reason: str = ""

    @property
    def interpreter(self) -> str:
        return self.python or sys.executable


def place_of(name: str, only_here: bool) -> WhereToJudge:
    if is_installed(name):
        return WhereToJudge(versions=versions_here(name))
    if only_here:
        return WhereToJudge(reason=f"not installed: {BUILT_IN[name].install}")
    try:
        environment = make(BUILT_IN[name].requirements)
    except NotInstallableError as error:
        return WhereToJudge(reason=str(error))
    if BUILT_IN[name].is_program:
        return WhereToJudge(versions=versions_here(name))
    wanted = {plain(package) for package in BUILT_IN[name].packages}
    versions = {package: version for package, version in environment.versions.items() if plain(package) in wanted}
    return WhereToJudge(str(environment.python), versions)


def versions_here(name: str) -> dict[str, str]:
    """What the target needs, by the names under which pip, npm or apt-get installs it."""
    if BUILT_IN[name].is_built:
        environment = environment_of(name)
        return (
            {package: v for package, v in environment.versions.items() if package != JSON_FOR_CPP}
            if environment
            else {}
        )
    if BUILT_IN[name].is_program:
        return dict(package.rsplit("@", 1) for package in BUILT_IN[name].packages)
    return dict(_versions_of_modules(BUILT_IN[name].needs.split()))


def _versions_of_modules(modules: Sequence[str]) -> Iterator[tuple[str, str]]:
    distributions = importlib.metadata.packages_distributions()
    for module in modules:
        for distribution in distributions.get(module.partition(".")[0], [])[:1]:
            yield distribution, importlib.metadata.version(distribution)


def plain(package: str) -> str:
    """A requirement's name alone, as names are compared: "mlx[cpu]>=0.3" -> "mlx"."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ;]", package, maxsplit=1)[0]).lower()
