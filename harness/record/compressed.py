"""Ledgers compressed by gzip: most of a ledger is field names, and a tenth of the space will do."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from harness.record.files import write_whole_bytes

SUFFIX = ".gz"
MAGIC = b"\x1f\x8b"
GZIP = 16 + zlib.MAX_WBITS
"""What tells zlib to expect gzip's header."""


class DamagedError(ValueError):
    """Compressed bytes that end early, or that are not what gzip wrote."""


def write_compressed(ledger: Path) -> Path:
    """The finished ledger once more, compressed, beside itself as NAME.jsonl.gz; the same ledger gives the same bytes.

    Raises UsageError where it cannot be written.
    """
    place = ledger.with_name(ledger.name + SUFFIX)
    write_whole_bytes(place, gzip.compress(ledger.read_bytes(), mtime=0))
    return place


def expanded(data: bytes, whole: bool = True) -> bytes:
    """`data` as it was before gzip, or as it stands where gzip did not write it.

    whole=False: as much of it as is there, if it was cut off. Raises DamagedError.
    """
    pieces = []
    while data.startswith(MAGIC):  # gzip's files may be joined
        stream = zlib.decompressobj(GZIP)
        try:
            pieces.append(stream.decompress(data))
        except zlib.error as error:
            raise DamagedError(str(error)) from error
        if not stream.eof and whole:
            raise DamagedError("it was cut off")
        data = stream.unused_data
    if pieces and data:
        raise DamagedError("something else stands behind it")
    return b"".join(pieces) if pieces else data
