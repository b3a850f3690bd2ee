r"""SEARCH.md: how near the honest algorithms come to their error bounds on data that evolve towards them.

    python -m tests.experiments.evolve --published --keep islands > tests/experiments/SEARCH.md
    python -m tests.experiments.evolve --evaluations 10_000_000 --seed 5 --jobs 2        # a search of one's own

Islands are numbered and depend on their number and the options alone. With `--keep` each finished one stays in a
folder, and an interrupted command resumes from them. With `--on` the islands are a Dask cluster's work, whose workers
run in a checkout. An evaluation is one channel computed by one algorithm. Exit
status 1 if an error exceeds its bound.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.jobs.engines import open_engine, workers_of
from tests.experiments.evolve.search import Search, total
from tests.experiments.evolve.table import HEADING, as_markdown
from tests.targets.honest.declared import DECLARED

PUBLISHED = (
    Search("Evolved channels", 100_000_000, seed=101),
    Search("Random channels", 62_000_000, seed=102, generations=1),
    Search("Long channels", 2_400_000, seed=103, min_n=100),
    *(Search(f'Sums that are declared "{how}"', 4_000_000, seed=104, summation=how) for how in DECLARED),
)
OF_OTHERS = {
    "apart": (Search("Products of y that are made apart", 1_000_000, seed=109, attacked="apart"),),
    "underflow": (Search("Products near the smallest normal number", 450_000, seed=108, attacked="underflow"),),
    "derivatives": (
        Search("Forward mode and second derivatives", 53_000_000, seed=105, attacked="derivatives"),
        Search("Second derivatives of long channels", 1_060_000, seed=106, min_n=100, attacked="derivatives"),
    ),
    "fold": (Search("Folded into a dense layer", 18_000_000, seed=107, attacked="fold"),),
    "rescaled": (Search("Rescaled, as quantization-aware training folds", 450_000, seed=110, attacked="rescaled"),),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--published",
        action="store_true",
        help="the searches of SEARCH.md, with --attacked those of its last parts",
    )
    parser.add_argument("--evaluations", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    parser.add_argument("--generations", type=int, default=16, help="1: data drawn at random, no evolution")
    parser.add_argument("--at-least", type=int, default=2, metavar="N", help="the least n, up to 4096")
    parser.add_argument(
        "--summation", choices=("any", *DECLARED), default="any", help="attack the bounds of these sums"
    )
    parser.add_argument(
        "--attacked",
        choices=("layer", *OF_OTHERS),
        default="layer",
        help="a layer, also where products are made apart or underflow; forward mode and second derivatives; folds",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, help="how many processes")
    parser.add_argument("--on", metavar="SCHEDULER", help="of a Dask cluster: tcp://HOST:PORT")
    parser.add_argument("--keep", type=Path, help="a folder for the islands")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    chosen = options.evaluations, options.seed, options.generations, options.at_least, options.summation
    chosen += (options.attacked,)
    published = OF_OTHERS.get(options.attacked, PUBLISHED)
    searches = published if options.published else (Search("Channels", *chosen),)
    with open_engine(workers_of(options.jobs, options.on)) as engine:
        results = [total(search, engine, options.keep) for search in searches]
    print(HEADING + "".join("\n" + as_markdown(totals) for totals in results), end="")
    return 1 if any(totals.violations() for totals in results) else 0


if __name__ == "__main__":
    sys.exit(main())
