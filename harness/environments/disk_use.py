"""How much of the disk environments take, where a file may belong to several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512
"""The unit of `st_blocks`, whatever the file system's."""


@dataclass(frozen=True)
class DiskUse:
    """Bytes on the disk."""

    total: int
    """Each file once."""
    whole: tuple[int, ...]
    """Of each folder: all its files."""
    alone: tuple[int, ...]
    """Of each folder: the files that no other has, which is what its removal frees."""


def disk_use(folders: Sequence[Path]) -> DiskUse:
    """What the folders take, each and together."""
    holders: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], int] = {}
    files_of = []
    for folder in folders:
        files = dict(_files(folder))
        files_of.append(files)
        sizes |= files
        for file in files:
            holders[file] = holders.get(file, 0) + 1
    return DiskUse(
        total=sum(sizes.values()),
        whole=tuple(sum(files.values()) for files in files_of),
        alone=tuple(sum(size for file, size in files.items() if holders[file] == 1) for files in files_of),
    )


def _files(folder: Path) -> Iterator[tuple[tuple[int, int], int]]:
    """(device, inode) -> bytes, of every file below."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    state = os.stat(entry.path, follow_symlinks=False)  # an entry's own has no inode on Windows
                    size = getattr(state, "st_blocks", None)
                    yield (state.st_dev, state.st_ino), state.st_size if size is None else size * BLOCK
