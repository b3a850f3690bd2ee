"""What each known mistake does in every operation, with masks and under other conventions, to ten digits.

`test_one_mistake.py` has one small case of each variant; here all of an id stand in one line, each in its place. Who
changes a variant on purpose runs `python -m tests.test_mistakes_on_a_tour`, which writes the table anew.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from harness.cases.case import Case
from harness.cases.options import Options, some
from harness.diagnose.replay import _played
from harness.judge.oracle import OracleLayer
from harness.targets.replicas.names import Replicas
from reference.conventions import Conventions
from tests.pinned import assert_same, line, without_noise
from tests.small_evidence import D2L, TORCH, case

TABLE = Path(__file__).with_suffix(".txt")
ONE_CASE = Path(__file__).with_name("test_one_mistake.txt")
PACKAGE = "harness.diagnose.mistakes"
SHAPE = (5, 3, 2, 2)
"""Samples, channels and places of a sample are as many as nothing else is."""
TRAINED = ("train", "train_no_grad", "eval", "frozen", "restore", "train", "eval", "restore_used", "frozen", "eval")
DERIVED = ("train_jvp", "eval_jvp", "train_double", "eval_double")
BIASED_MEAN = {"new_weight": 0.25, "eps": 0.125, "moving_scale": (3.0, 1.0)}


@dataclass(frozen=True)
class Stop:
    case: Case
    conventions: Conventions
    dtype: str = "float32"


def stop(name: str, conventions: Conventions, script: Sequence[str], dtype: str = "float32", **fields) -> Stop:
    return Stop(case(name, script=tuple(script), **{"shape": SHAPE} | BIASED_MEAN | fields), conventions, dtype)


DEBIASED = replace(TORCH, debias=True, eps_at="outside_sqrt")
TOUR = (
    stop("images", D2L, TRAINED),
    stop("debiased", DEBIASED, ("train", "eval", "restore_used", "frozen")),
    stop("derivatives", TORCH, DERIVED),
    stop("masked", TORCH, ("train", "eval"), options=Options(mask=some())),
    stop("cumulative", D2L, ("train", "restore", "train", "eval"), options=Options(cumulative=True)),
    stop("narrow", TORCH, ("train", "eval"), "float16", shape=(5, 2)),
    stop("as it lies", D2L, ("train", "eval"), layout="transposed"),
)
NUMBER = 0.375
"""Of mistakes with an unknown number."""
REPLICATED = (Replicas(1), Replicas(2, "uneven"), Replicas(3), Replicas(3, "empty"))


def variants() -> Iterator[tuple[str, type[OracleLayer]]]:
    """(id, variant) of all that there are, with modules imported anew: many are made when that is done."""
    known, derived, numbered, replicas, transformed = map(
        importlib.import_module,
        (f"{PACKAGE}.{name}" for name in ("known", "known_derivatives", "numbered", "replicas", "transformed")),
    )
    for mistake in known.KNOWN + derived.OF_DERIVATIVES:
        yield from ((mistake.id, variant) for variant in mistake.variants)
    for family in numbered.MOMENTUM_FAMILIES + numbered.EPS_FAMILIES:
        yield f"{family.id} numbered", family.make(NUMBER)
    for spread in REPLICATED:
        yield from ((f"{identity} replicas", variant) for identity, variant in replicas.of_replicas(spread))
    for name, mistakes in transformed.BY_TRANSFORMATION.items():
        yield from ((f"{identity} through {name}", variant) for identity, variant, _ in mistakes)


def lines() -> list[str]:
    loaded = {name: module for name, module in sys.modules.items() if not name.startswith(PACKAGE)}
    with patch.dict(sys.modules, loaded, clear=True):
        by_id: dict[str, list[type[OracleLayer]]] = {}
        for identity, variant in variants():
            by_id.setdefault(identity, []).append(variant)
    tried_alone = [f"{identity}, tried alone: {[int(of.alone) for of in of_id]}" for identity, of_id in by_id.items()]
    return tried_alone + [
        line(f"{identity}, {len(of_id)} variants, {each.case.id}", {"": np.concatenate([*given(of_id, each)])})
        for identity, of_id in by_id.items()
        for each in TOUR
    ]


def given(layers: Sequence[type[OracleLayer]], at: Stop) -> Iterator[np.ndarray]:
    """All that the layers return there, each up to where it raises."""
    script = at.case.make(at.dtype, 0, at.conventions.momentum_for(at.case.new_weight))
    for layer in layers:
        steps = [values for values in _played(layer, script, at.conventions) if values is not None]
        yield np.array([len(steps)])
        for values in steps:
            yield without_noise(np.concatenate([np.ravel(values[name]) for name in sorted(values)]))


def test_each_mistake_does_what_it_did():
    assert_same(lines(), TABLE.read_text().splitlines())


def test_variants_made_anew_have_the_names_that_they_had():
    names = [f"{identity} {of.__module__.rpartition('.')[2]} {of.__name__}" for identity, of in variants()]
    known = [line.partition(":")[0] for line in ONE_CASE.read_text().splitlines()]
    assert sorted(name for name in names if len(name.split()) == 3) == sorted(known)
    assert len({*known}) == len(known)


if __name__ == "__main__":
    TABLE.write_text("\n".join(lines()) + "\n")
