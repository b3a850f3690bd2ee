r"""harness/diagnose/usual_errors.json: how far from its bounds honest code stays, by case, dtype and observable.

    python -m tests.experiments.usual_errors --seeds 10 > harness/diagnose/usual_errors.json

The 99.9th percentile of error/bound over the honest algorithms and the seeds. From 4,096 values a channel on, only
algorithms that add in a tree count as usual: the error of a plain loop grows with n, and libraries add otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict

import numpy as np

from harness.cases.case import Case
from harness.cases.catalogue import BY_ID
from harness.observables import column
from tests.in_process import checked
from tests.targets.honest.forty import ALGORITHMS
from tests.targets.honest.layer import AlgorithmLayer, as_layer

CASE_IDS = (
    "rank2", "rank4", "large_mean_1e2", "wide_scales", "thousand_values", "values_1025", "values_1537", "many_values",
)  # fmt: skip
IN_A_TREE = (
    "Pairwise", "PairwiseRegrouped", "CascadeTorchCpu", "Kahan", "SumsInWiderType", "AllInWiderType",
    "WelfordInWiderType", "Chan", "CudaMergesAlone", "FlushesToZero",
)  # fmt: skip
MANY = 4096
PERCENTILE = 99.9


def usual(case: Case) -> list[type[AlgorithmLayer]]:
    many = case.values_per_channel >= MANY
    return [as_layer(a, k) for k, a in enumerate(ALGORITHMS) if not many or a.name in IN_A_TREE]


def measured(seeds: int) -> dict[str, dict[str, dict[str, float]]]:
    """{case: {dtype: {observable: percentile of error/bound}}}."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for case in (BY_ID[identity] for identity in CASE_IDS):
        ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for layer in usual(case):
            for seed in range(seeds):
                for judgement in checked(layer, seed=seed, cases=(case,), diagnosed=False).judgements:
                    if judgement.observable and judgement.ratio is not None:
                        ratios[judgement.dtype][column(judgement.observable, judgement.op)].append(judgement.ratio)
        table[case.id] = {
            dtype: {name: float(f"{np.percentile(values, PERCENTILE):.3g}") for name, values in sorted(of.items())}
            for dtype, of in ratios.items()
        }
        print(case.id, file=sys.stderr, flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    print(json.dumps(measured(parser.parse_args().seeds), indent=1))


if __name__ == "__main__":
    main()
