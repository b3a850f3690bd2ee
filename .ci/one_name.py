"""The build backend: setuptools, and a wheel in which everything is under one name, `bnproof`.

In the repository the rooms lie at the top (`harness`, `impls`, `reference`, `reports`), and import each other by those
names. Installed like that they would hide a user's own `harness`. So a wheel is built by setuptools and then rewritten:
the rooms move under `bnproof/`, and the imports and entry points that name them follow. An editable installation and a
source distribution are setuptools' own.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
)

__all__ = [  # without prepare_metadata_for_build_wheel: the metadata of a wheel is known once it is rewritten
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
]

NAME = "bnproof"
ROOMS = ("harness", "impls", "reference", "reports")
FROM_ROOM = re.compile(rf"from[ \t]+(?=(?:{'|'.join(ROOMS)})\b)".encode())
DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file, so that the same sources give the same bytes."""

Files = dict[str, bytes]
"""What a wheel holds: path -> content."""


class BuildError(Exception):
    """The sources cannot be put under one name."""


def build_wheel(
    wheel_directory: str, config_settings: dict | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel with setuptools and rewrite it."""
    with scratch_folder():
        name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    wheel = Path(wheel_directory, name)
    with zipfile.ZipFile(wheel) as archive:
        files = {path: archive.read(path) for path in archive.namelist()}
    write(wheel, under_one_name(files))
    return name


def build_editable(
    wheel_directory: str, config_settings: dict | None = None, metadata_directory: str | None = None
) -> str:
    """Setuptools' own, which imports the rooms from the checkout, and a module `bnproof` with what is public."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    wheel = Path(wheel_directory, name)
    with zipfile.ZipFile(wheel) as archive:
        files = {path: archive.read(path) for path in archive.namelist() if not path.endswith(".dist-info/RECORD")}
    write(wheel, files | {f"{NAME}.py": package_file(files, "harness.api")})
    return name


def build_sdist(sdist_directory: str, config_settings: dict | None = None) -> str:
    with scratch_folder():
        return build_meta.build_sdist(sdist_directory, config_settings)


@contextmanager
def scratch_folder() -> Iterator[None]:
    """Let setuptools work in an empty folder: nothing stale gets in, and nothing is left among the sources."""
    before = os.environ.get("DIST_EXTRA_CONFIG")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "scratch.cfg")
        config.write_text(f"[build]\nbuild_base = {folder}/build\n[egg_info]\negg_base = {folder}\n")
        os.environ["DIST_EXTRA_CONFIG"] = str(config)
        try:
            yield
        finally:
            del os.environ["DIST_EXTRA_CONFIG"]
            if before is not None:
                os.environ["DIST_EXTRA_CONFIG"] = before


def under_one_name(files: Files) -> Files:
    """A wheel's files with the rooms under `bnproof`. Raises BuildError for a file that would not work there."""
    renamed: Files = {}
    for path, content in files.items():
        folder, _, rest = path.partition("/")
        if folder in ROOMS:
            renamed[f"{NAME}/{path}"] = imports_renamed(path, content) if path.endswith(".py") else content
        elif not folder.endswith(".dist-info"):
            raise BuildError(f"{path} belongs to no room: {', '.join(ROOMS)}")
        elif rest == "entry_points.txt":
            renamed[path] = entry_points_renamed(content)
        elif rest == "top_level.txt":
            renamed[path] = f"{NAME}\n".encode()
        elif rest != "RECORD":
            renamed[path] = content
    renamed[f"{NAME}/__init__.py"] = package_file(files)
    return renamed


PACKAGE = '''"""Cross-verification of batch normalization: is it right, to how many ulps, and if not, which mistake?

`check(target)` judges a batch norm, `probe(target)` infers its conventions; `bnproof --help` is the command line.
"""

from typing import TYPE_CHECKING

__version__ = "{version}"
__all__ = ["__version__", "check", "probe"]

if TYPE_CHECKING:
    from {api} import check, probe


def __getattr__(name: str) -> object:  # NumPy and the suite are imported once they are asked for
    if name not in __all__:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    import importlib

    return getattr(importlib.import_module("{api}"), name)
'''


def package_file(files: Files, api: str = f"{NAME}.harness.api") -> bytes:
    """What `import bnproof` finds. api: the module that has what is public."""
    metadata = next(content for path, content in files.items() if path.endswith(".dist-info/METADATA")).decode()
    version = re.search(r"^Version: (\S+)$", metadata, re.MULTILINE)
    if version is None:
        raise BuildError("the metadata has no version")
    return PACKAGE.format(version=version[1], api=api).encode()


def entry_points_renamed(content: bytes) -> bytes:
    """entry_points.txt with `name = harness.x:y` as `name = bnproof.harness.x:y`."""
    return re.sub(rf"(?m)^(\S+ *= *)(?=(?:{'|'.join(ROOMS)})\b)", rf"\g<1>{NAME}.", content.decode()).encode()


def imports_renamed(path: str, content: bytes) -> bytes:
    """The source with `bnproof.` before every imported room. Strings are left alone: `harness.place` names modules."""
    lines = content.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for line_number, column in sorted(places_of_rooms(path, content), reverse=True):
        offset = starts[line_number - 1] + column
        content = content[:offset] + f"{NAME}.".encode() + content[offset:]
    left = list(places_of_rooms(path, content)) if content != b"".join(lines) else []
    if left:
        raise BuildError(f"{path}:{left[0][0]}: an import of a room is still as it was")
    return content


def places_of_rooms(path: str, content: bytes) -> Iterator[tuple[int, int]]:
    """(line, column in bytes) of every room's name that is imported absolutely, late imports included."""
    lines = content.splitlines()
    for node in statements(ast.parse(content, path).body):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and is_room(node.module or ""):
            start = FROM_ROOM.match(lines[node.lineno - 1], node.col_offset)
            if start is None:
                raise BuildError(f"{path}:{node.lineno}: write the module on the line of its `from`")
            yield node.lineno, start.end()
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if not is_room(alias.name):
                    continue
                if alias.asname is None:  # `import harness.x` binds `harness`, which would be called otherwise
                    raise BuildError(f"{path}:{node.lineno}: write `from ... import ...`, not `import {alias.name}`")
                yield alias.lineno, alias.col_offset


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """These and what is within them. Nothing else holds an import, and there is ten times as much of it."""
    for node in nodes:
        yield node
        for block in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(node, block, ()))


def is_room(module: str) -> bool:
    return module.partition(".")[0] in ROOMS


def write(wheel: Path, files: Files) -> None:
    """Write the files and their RECORD, in an order and with dates that do not change."""
    info = next(path.partition("/")[0] for path in files if ".dist-info/" in path)
    record = f"{info}/RECORD"
    lines = [f"{path},sha256={digest(content)},{len(content)}\n" for path, content in sorted(files.items())]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in [*sorted(files.items()), (record, "".join([*lines, f"{record},,\n"]).encode())]:
            entry = zipfile.ZipInfo(path, DATE)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
