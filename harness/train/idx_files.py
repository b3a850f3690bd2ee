"""The four files of Fashion-MNIST: finding them in a folder, and reading them.

Every file is checked against the SHA-256 of its decompressed content: the original .gz files and Debian's differ
in their compression, not in what they hold. A file that fails the check is an error, never training data.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UsageError


class DataError(UsageError):
    """The data are missing or are not Fashion-MNIST; the message says what to do."""


@dataclass(frozen=True)
class File:
    name: str
    """Without .gz."""
    shape: tuple[int, ...]
    sha256: str
    """Of the decompressed content, header and all."""


FILES = {
    "train_images": File(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train_labels": File(
        "train-labels-idx1-ubyte",
        (60000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "test_images": File(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "test_labels": File(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


def find_files(folder: Path) -> dict[str, Path]:
    """The files of the data set that `folder` holds, by the names of `FILES`; empty where there is no folder."""
    paths: dict[str, Path] = {}
    for name, file in FILES.items():
        for place in (folder, folder / "FashionMNIST" / "raw"):
            for candidate in (place / f"{file.name}.gz", place / file.name):
                if candidate.is_file():
                    paths.setdefault(name, candidate)
    return paths


def read_file(path: Path, file: File) -> np.ndarray:
    """The array of one idx file, compressed or not. Raises DataError unless it is exactly `file`."""
    again = f"Delete it and get {path.name} again"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. {again}") from error
    header = 4 + 4 * len(file.shape)  # magic number, then one 32-bit integer a dimension
    size = header + int(np.prod(file.shape))
    if len(content) != size:
        raise DataError(f"{path} should hold {size} bytes once decompressed, and holds {len(content)}. {again}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise DataError(
            f"{path} is not Fashion-MNIST's {file.name}: expected SHA-256 {file.sha256}, got {digest}. {again}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(file.shape).copy()
