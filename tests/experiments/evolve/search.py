"""A search: islands from number 0 on, until there are enough evaluations."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

from harness.jobs.engines import Engine
from harness.jobs.job import Job, Tell
from tests.experiments.evolve.island import Algorithms, Champion, Plan, Result, evolve
from tests.experiments.evolve.table import Totals
from tests.experiments.kept import kept_or_done
from tests.targets.honest.algorithm import flushing
from tests.targets.honest.declared import DECLARED
from tests.targets.honest.folds import FOLDS
from tests.targets.honest.forty import ALGORITHMS, DIVIDED_FIRST, PRODUCTS_APART
from tests.targets.honest.orders import ORDERS_THAT_FLUSH
from tests.targets.honest.second import SECOND_ORDER


@dataclass(frozen=True)
class Search:
    title: str
    evaluations: int
    seed: int = 0
    generations: int = 16
    min_n: int = 2
    summation: str = "any"
    """What the algorithms declare."""
    attacked: str = "layer"

    def plan(self, number: int) -> Plan:
        return Plan(
            self.seed, number, self.generations, min_n=self.min_n, summation=self.summation,
            attacked=self.attacked,
        )  # fmt: skip

    def file_of(self, number: int) -> str:
        long = f"-from-{self.min_n}" if self.min_n > 2 else ""
        declared = "" if self.summation == "any" else f"-{self.summation}"
        other = "" if self.attacked == "layer" else f"-{self.attacked}"
        return f"{self.seed}-{self.generations}{long}-{number}{declared}{other}.json"

    def jobs(self) -> Iterator[tuple[str, Job]]:
        """Without end, each with the name of its file."""
        for number in count():
            yield self.file_of(number), Job(island, self.plan(number))


APART = PRODUCTS_APART + DIVIDED_FIRST


def island(plan: Plan, _tell: Tell) -> Result:
    of_others: dict[str, Algorithms] = {
        "apart": APART + tuple(replace(a, name=f"{a.name}, flushed", arithmetic=flushing) for a in APART),
        "underflow": ORDERS_THAT_FLUSH + tuple(a for a in ALGORITHMS if a.arithmetic is flushing),
        "derivatives": SECOND_ORDER,
        "fold": FOLDS,
        "rescaled": ALGORITHMS,
    }
    return evolve(plan, of_others.get(plan.attacked) or DECLARED.get(plan.summation, ALGORITHMS))


def total(search: Search, engine: Engine, keep: Path | None) -> Totals:
    """keep: a folder of finished islands."""
    totals = Totals(search.title, search.seed, search.generations, search.min_n)
    started = time.monotonic()
    with closing(kept_or_done(engine, search.jobs(), keep, asdict, from_json)) as results:
        for result in results:
            totals.add(result)
            seconds = time.monotonic() - started
            done = f"{search.title}: {totals.evaluations:,} evaluations in {totals.islands} islands"
            print(f"{done}, {totals.violations()} over, {seconds:.0f} s", file=sys.stderr, flush=True)
            if totals.evaluations >= search.evaluations:
                break
    return totals


def from_json(fields: dict) -> Result:
    best = {
        algorithm: {observable: Champion(**champion) for observable, champion in row.items()}
        for algorithm, row in fields.pop("best").items()
    }
    return Result(**fields, best=best)
