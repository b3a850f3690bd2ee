"""What a process uses: by /proc on Linux, which needs nothing, and by psutil elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROC = Path("/proc/self/statm").exists()


def resident_bytes(process: int) -> int:
    """0 for a process that has ended."""
    if not PROC:
        return _by_psutil(process, lambda found: found.memory_info().rss)
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def processor_seconds(process: int) -> float:
    """User and system time together; 0 for a process that has ended."""
    if not PROC:
        return _by_psutil(process, lambda found: found.cpu_times().user + found.cpu_times().system)
    try:
        # The program's name, in parentheses, may hold spaces; utime and stime are the 12th and 13th field after it.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def _by_psutil(process: int, measure: Callable[[Any], Any]) -> Any:
    import psutil

    try:
        return measure(psutil.Process(process))
    except psutil.Error:
        return 0
