"""What a worker must have in common with the command that gives it work: else its results are not the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from dataclasses import asdict, dataclass
from functools import cache

from harness import place

ROOMS = ("harness", "impls", "reference", "tests")
"""The last is in a checkout alone, whose experiments are jobs as well."""
DIGITS = 12


@dataclass(frozen=True)
class Identity:
    """Its fields are compared one by one, and named where they differ."""

    bnproof: str
    """A digest of its sources: a version number does not tell two checkouts apart."""
    python: str
    """"3.11" """
    numpy: str
    machine: str
    """As `platform` calls it: what a longdouble holds depends on it."""

    def differences(self, theirs: Identity) -> str:
        """In words; "" where there are none."""
        here, there = asdict(self), asdict(theirs)
        return ", ".join(f"{name} {there[name]} (here {here[name]})" for name in here if here[name] != there[name])


@cache
def identity() -> Identity:
    return Identity(
        bnproof=digest_of_sources(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        numpy=importlib.metadata.version("numpy"),
        machine=f"{platform.system()} {platform.machine()}",
    )


def digest_of_sources() -> str:
    sha256 = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((place.ROOT / room).rglob("*.py")):
            sha256.update(path.relative_to(place.ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha256.hexdigest()[:DIGITS]
