"""Right batch norms that compute in other ways: every one must agree. Plain NumPy, on the bases of the mutants."""

from tests.targets.honest import formulas, sums

HONEST = tuple(
    value
    for module in (sums, formulas)
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__ == module.__name__
)
