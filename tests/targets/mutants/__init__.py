"""Batch norms that are each wrong in one place (`SINGLE`) or in two (`PAIRS`), written from what real ones got wrong.

A mutant states which ids its diagnosis must name (`expected`, an id or several) and which case claims it (`case`).
Nothing in this package knows the project.
"""

from tests.targets.mutants import (
    branches,
    derivatives,
    forward,
    gradients,
    kernels,
    misplaced,
    modes,
    moving,
    options,
    pairs,
    powers,
    replicas,
    sharded,
    sixteen_bits,
    stale,
    subtle,
    twice_in_sixteen_bits,
    variance,
)


def _mutants(*modules):
    """The classes with an `expected` of their own, in the order in which they are written."""
    return tuple(
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and "expected" in vars(value) and value.__module__ == module.__name__
    )


SINGLE = (
    *_mutants(
        moving,
        modes,
        variance,
        forward,
        gradients,
        subtle,
        sharded,
        sixteen_bits,
        stale,
        powers,
        options,
        derivatives,
        branches,
        misplaced,
    ),
    replicas.GradientNotReduced,
    replicas.FirstReplicaMoves,
    *_mutants(kernels),
    *_mutants(twice_in_sixteen_bits),
)
PAIRS = _mutants(pairs)
REPLICATED = _mutants(replicas)
"""Over simulated replicas. They need few cases, those with shards of one size and of several."""


def expected_ids(mutant):
    return {mutant.expected} if isinstance(mutant.expected, str) else set(mutant.expected)
