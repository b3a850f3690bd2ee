r"""SEARCH.md: how near the honest algorithms come to their error bounds on data that evolve towards them.

    python -m tests.experiments.evolve --published --keep islands > tests/experiments/SEARCH.md
    python -m tests.experiments.evolve --evaluations 10_000_000 --seed 5 --jobs 2        # a search of one's own

Islands are numbered and depend on their number and the options alone. With `--keep` each finished one stays in a
folder, and an interrupted command resumes from them. An evaluation is one channel computed by one algorithm. Exit
status 1 if an error exceeds its bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from tests.experiments.evolve.island import Champion, Plan, Result, evolve
from tests.experiments.evolve.table import HEADING, Totals, as_markdown
from tests.targets.honest.declared import DECLARED
from tests.targets.honest.forty import ALGORITHMS


@dataclass(frozen=True)
class Search:
    """Islands from number 0 on, until there are enough evaluations."""

    title: str
    evaluations: int
    seed: int = 0
    generations: int = 16
    min_n: int = 2
    summation: str = "any"
    """What the algorithms declare."""

    def plan(self, number: int) -> Plan:
        return Plan(self.seed, number, self.generations, min_n=self.min_n, summation=self.summation)

    def file_of(self, number: int) -> str:
        long = f"-from-{self.min_n}" if self.min_n > 2 else ""
        declared = "" if self.summation == "any" else f"-{self.summation}"
        return f"{self.seed}-{self.generations}{long}-{number}{declared}.json"


PUBLISHED = (
    Search("Evolved channels", 100_000_000, seed=101),
    Search("Random channels", 50_000_000, seed=102, generations=1),
    Search("Long channels", 2_400_000, seed=103, min_n=100),
    *(Search(f'Sums that are declared "{how}"', 4_000_000, seed=104, summation=how) for how in DECLARED),
)


def island_at(number: int, search: Search, keep: Path | None) -> Result:
    """The result of an island, from the folder `keep` if it is there."""
    path = keep / search.file_of(number) if keep else None
    if path and path.exists():
        return from_json(json.loads(path.read_text()))
    result = evolve(search.plan(number), DECLARED.get(search.summation, ALGORITHMS))
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


def total(search: Search, jobs: int, keep: Path | None) -> Totals:
    totals = Totals(search.title, search.seed, search.generations, search.min_n)
    started = time.monotonic()
    with Pool(jobs) as pool:
        for result in pool.imap(partial(island_at, search=search, keep=keep), range(1_000_000_000)):
            totals.add(result)
            seconds = time.monotonic() - started
            done = f"{search.title}: {totals.evaluations:,} evaluations in {totals.islands} islands"
            print(f"{done}, {totals.violations()} over, {seconds:.0f} s", file=sys.stderr, flush=True)
            if totals.evaluations >= search.evaluations:
                pool.terminate()
                break
    return totals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", action="store_true", help="the searches of SEARCH.md")
    parser.add_argument("--evaluations", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    parser.add_argument("--generations", type=int, default=16, help="1: data drawn at random, no evolution")
    parser.add_argument("--at-least", type=int, default=2, metavar="N", help="the least n, up to 4096")
    parser.add_argument(
        "--summation", choices=("any", *DECLARED), default="any", help="attack the bounds of these sums"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the islands")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    chosen = options.evaluations, options.seed, options.generations, options.at_least, options.summation
    searches = PUBLISHED if options.published else (Search("Channels", *chosen),)
    results = [total(search, options.jobs, options.keep) for search in searches]
    print(HEADING + "".join("\n" + as_markdown(totals) for totals in results), end="")
    return 1 if any(totals.violations() for totals in results) else 0


if __name__ == "__main__":
    sys.exit(main())
