"""A training that never ends and has started a process of its own. It writes both ids into the file that a variable of
the environment names; for the test of what a killed parent leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

IDS = "BNPROOF_TEST_IDS"


def train(*_: Any, **__: Any) -> dict[str, Any]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    partial = Path(f"{os.environ[IDS]}.partial")
    partial.write_text(f"{os.getpid()} {child.pid}")
    partial.replace(os.environ[IDS])
    time.sleep(600)
    raise AssertionError("nobody ended this")
