"""Batch norms that are each wrong in one place (`SINGLE`) or in two (`PAIRS`), written from what real ones got wrong.

A mutant says what must be found (`expected`, an id or several) and the case that claims it (`case`). Nothing here
knows the project.
"""

from tests.targets.mutants import forward, gradients, moving, pairs


def _mutants(*modules):
    return tuple(
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and "expected" in vars(thing) and thing.__module__ == module.__name__
    )


SINGLE = _mutants(moving, forward, gradients)
PAIRS = _mutants(pairs)


def expected_ids(mutant):
    return {mutant.expected} if isinstance(mutant.expected, str) else set(mutant.expected)
