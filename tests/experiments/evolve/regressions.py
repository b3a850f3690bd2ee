"""Channels that once left a bound, for some honest algorithm: `regressions.json`, which every bound must hold for.

python -m tests.experiments.evolve.regressions islands       # add what a search has found to the file
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.experiments.evolve.evaluate import Population, Setting

FILE = Path(__file__).with_name("regressions.json")


def populations() -> Iterator[tuple[Population, Setting]]:
    """Each channel of the file, twice side by side: NumPy sums a single column in another order."""
    for channel in json.loads(FILE.read_text()):
        yield population_of(channel)


def population_of(channel: dict[str, Any]) -> tuple[Population, Setting]:
    arrays = {name: np.array(values, channel["dtype"])[..., None] for name, values in channel["arrays"].items()}
    twice = {name: np.repeat(a, 2, axis=-1) for name, a in arrays.items()}
    return Population(**twice), Setting(**channel["setting"])


def harvested(folder: Path) -> list[dict[str, Any]]:
    """Of each pair of algorithm and observable the channel that left the bound by most, each channel once."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for path in folder.glob("*.json"):
        for algorithm, row in json.loads(path.read_text())["best"].items():
            for observable, champion in row.items():
                known = best.get((algorithm, observable), {"ratio": 1.0})
                if champion["ratio"] > known["ratio"] and champion["channel"]:
                    best[algorithm, observable] = champion
    return [champion["channel"] for champion in best.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what a search was told to --keep")
    known = json.loads(FILE.read_text()) if FILE.exists() else []
    lines = [json.dumps(channel) for channel in known + harvested(parser.parse_args().folder)]
    FILE.write_text("[\n" + ",\n".join(dict.fromkeys(lines)) + "\n]\n")
    print(f"{len(set(lines))} channels")


if __name__ == "__main__":
    main()
