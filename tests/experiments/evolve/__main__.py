r"""SEARCH.md: how near the honest algorithms come to their error bounds on data that evolve towards them.

    python -m tests.experiments.evolve --evaluations 100_000_000 --jobs 2 --keep islands > tests/experiments/SEARCH.md

Islands are numbered and depend on their number and the seed alone. With `--keep` each finished one stays in a folder,
and an interrupted command resumes from them. An evaluation is one channel computed by one algorithm. Exit status 1 if
an error exceeds its bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from tests.experiments.evolve.island import Champion, Plan, Result, evolve
from tests.experiments.evolve.table import Totals, as_markdown
from tests.targets.honest.declared import DECLARED
from tests.targets.honest.forty import ALGORITHMS


def island_at(number: int, seed: int, generations: int, keep: Path | None, summation: str = "any") -> Result:
    """The result of an island, from the folder `keep` if it is there."""
    declared = "" if summation == "any" else f"-{summation}"
    path = keep / f"{seed}-{generations}-{number}{declared}.json" if keep else None
    if path and path.exists():
        return from_json(json.loads(path.read_text()))
    result = evolve(Plan(seed, number, generations, summation=summation), DECLARED.get(summation, ALGORITHMS))
    if path:
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(asdict(result)))
        unfinished.rename(path)
    return result


def from_json(fields: dict) -> Result:
    best = {
        algorithm: {observable: Champion(**champion) for observable, champion in row.items()}
        for algorithm, row in fields.pop("best").items()
    }
    return Result(**fields, best=best)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    parser.add_argument("--generations", type=int, default=16, help="1: data drawn at random, no evolution")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first island")
    parser.add_argument(
        "--summation", choices=("any", *DECLARED), default="any", help="attack the bounds of these sums"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the islands")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    totals = Totals(options.seed, options.generations, options.first, options.summation)
    started = time.monotonic()
    fixed = {name: getattr(options, name) for name in ("seed", "generations", "keep", "summation")}
    play = partial(island_at, **fixed)
    with Pool(options.jobs) as pool:
        for result in pool.imap(play, range(options.first, 1_000_000_000)):
            totals.add(result)
            seconds = time.monotonic() - started
            done = f"{totals.evaluations:,} evaluations in {totals.islands} islands"
            print(f"{done}, {totals.violations()} over, {seconds:.0f} s", file=sys.stderr, flush=True)
            if totals.evaluations >= options.evaluations:
                pool.terminate()
                break
    print(as_markdown(totals), end="")
    return 1 if totals.violations() else 0


if __name__ == "__main__":
    sys.exit(main())
