"""A library's releases and their dates, from the package index that pip uses.

The index answers JSON (PEP 691), with the time of each file's upload (PEP 700).
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http.client import HTTPException
from itertools import groupby
from typing import Any

from harness.errors import UsageError

INDEX = "https://pypi.org/simple"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
SECONDS = 30
LONGEST = 200
"""Characters of an error that are repeated."""
LATEST, RANGE = "latest", ".."


@dataclass(frozen=True)
class Release:
    version: str
    uploaded: str
    """The day of the first upload, an ISO date; empty where the index does not tell."""
    requires_python: str = ""
    """A specifier such as ">=3.9"."""

    @property
    def series(self) -> tuple[int, ...]:
        """Major and minor number: releases that differ in less are one line of a history."""
        return _parsed(self.version).release[:2]

    def days_later(self, days: int) -> str:
        """An ISO date so many days after the upload; empty where that is unknown."""
        if not self.uploaded:
            return ""
        return (datetime.fromisoformat(self.uploaded) + timedelta(days)).date().isoformat()


def releases(distribution: str) -> list[Release]:
    """All releases but pre-releases and withdrawn ones, the oldest first. Raises UsageError."""
    try:
        return releases_in_bytes(_ask(distribution))
    except UsageError as error:
        raise UsageError(f"the package index did not answer for {distribution!r}: {error}") from error


def releases_in_bytes(content: bytes) -> list[Release]:
    """The releases in what the index sent. Raises UsageError where that is no answer for a project."""
    try:
        return releases_in(json.loads(content))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        what = " ".join(str(error).split())[:LONGEST]
        raise UsageError(f"what it sent is no list of releases ({type(error).__name__}: {what})") from error


def releases_in(answer: dict[str, Any]) -> list[Release]:
    """The releases in the index's answer for a project."""
    from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
    from packaging.version import InvalidVersion

    first: dict[Any, Release] = {}
    for file in answer["files"]:
        parse: Any = parse_wheel_filename if file["filename"].endswith(".whl") else parse_sdist_filename
        try:
            version = parse(file["filename"])[1]
        except (InvalidSdistFilename, InvalidWheelFilename, InvalidVersion):
            continue  # an egg, an installer for Windows
        if file.get("yanked") or version.is_prerelease:
            continue
        day = file.get("upload-time", "")[:10]
        if day:
            date.fromisoformat(day)
        requires_python = file.get("requires-python") or ""
        if not isinstance(requires_python, str):
            raise TypeError(f"requires-python of {file['filename']}")
        known = first.get(version)
        if known is None or (day and day < known.uploaded):
            first[version] = Release(str(version), day, requires_python)
    return [first[version] for version in sorted(first)]


def select(known: Sequence[Release], words: Sequence[str]) -> list[Release]:
    """The releases that are meant by words such as "0.8", "0.8.5", "latest" and "0.8 .. latest".

    "0.8" is the last release of that series; "A .. B" the last release of every series from A's to B's.
    Raises UsageError for a word that means none.
    """
    if not known:
        raise UsageError("the index has no releases of it")
    chosen: list[Release] = []
    rest = [*words]
    while rest:
        start = _meant(known, rest.pop(0))
        if rest[:1] != [RANGE]:
            chosen.append(start)
            continue
        if len(rest) < 2:
            raise UsageError(f"expected a version after {RANGE!r}, or {LATEST!r}")
        end = _meant(known, rest[1])
        rest = rest[2:]
        between = [release for release in known if start.series <= release.series <= end.series]
        chosen += [[*same][-1] for _, same in groupby(between, lambda release: release.series)]
    return [*dict.fromkeys(chosen)]


def suits(release: Release, python: str) -> bool:
    """Whether the release says that it runs on this Python, "major.minor"."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return f"{python}.99" in SpecifierSet(release.requires_python)
    except InvalidSpecifier:
        return True


def _meant(known: Sequence[Release], word: str) -> Release:
    from packaging.version import InvalidVersion

    if word == LATEST:
        return known[-1]
    try:
        wanted = _parsed(word)
    except InvalidVersion:
        raise UsageError(
            f"{word!r} is no version; give one as 0.8 or 0.8.5, or {LATEST!r}, or a range A .. B"
        ) from None
    numbers = wanted.release
    exact = [release for release in known if release.version == word]
    of_series = [release for release in known if _parsed(release.version).release[: len(numbers)] == numbers]
    candidates = exact or of_series
    if not candidates:
        raise UsageError(f"there is no release {word}; the last is {known[-1].version}, the first {known[0].version}")
    return candidates[-1]


def _parsed(version: str) -> Any:
    from packaging.version import Version

    return Version(version)


def _ask(distribution: str) -> bytes:
    index = os.environ.get("PIP_INDEX_URL", INDEX).rstrip("/")
    request = urllib.request.Request(f"{index}/{distribution}/", headers={"Accept": JSON_TYPE})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise UsageError(f"it has no such project ({error.code}); check the name") from error
    except (OSError, HTTPException, ValueError) as error:
        raise UsageError(f"it cannot be reached: {error}") from error
