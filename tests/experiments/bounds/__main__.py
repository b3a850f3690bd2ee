"""Does every honest algorithm stay within the error bounds, and does a fast variance not?

    python -m tests.experiments.bounds --cases 300000 --out reference/error_bounds_table.md

A case is one channel. What is expected is itself checked in 50 digits, on 1 % as many cases.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.experiments.bounds.exact import EXTENDED, reference_error
from tests.experiments.bounds.measured import measure
from tests.experiments.bounds.table import Run, as_markdown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    start = time.monotonic()
    table = measure(arguments.cases, arguments.seed, channels=1000)
    of_reference = {dtype: reference_error(arguments.cases // 200, arguments.seed, dtype) for dtype in EXTENDED}
    run = Run(arguments.cases, arguments.seed, time.monotonic() - start)
    text = as_markdown(table, of_reference, run)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text[: text.index("## Every cell")])
    holds = all(cell.worst <= 1 for cell in table.values())
    proves = all(cell.p99()[0] > 0.02 for cell in table.values() if cell.conclusive)
    return 0 if holds and proves else 1


if __name__ == "__main__":
    sys.exit(main())
