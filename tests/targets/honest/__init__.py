"""Right batch norms that compute in other ways: every one must agree, and stay within its error bounds on any data.

`HONEST` are classes under test: those of `sums` and `formulas`, on the bases of the mutants, and a layer around each
of `forty.ALGORITHMS`, which are functions of (n, C) arrays that a search can evaluate by the hundred thousand.

Not honest, and so not here:
* E[x^2] - E[x]^2, also where x is shifted by its first value (an outlier there cancels as a large mean does);
* x_hat + beta/gamma, scaled by gamma afterwards: it cancels as gamma goes to 0;
* products in TF32 or 16 bits, accumulation in 16 bits, stochastic rounding.
"""

from tests.targets.honest import derivatives, formulas, sums
from tests.targets.honest.forty import ALGORITHMS
from tests.targets.honest.layer import as_layer

WRITTEN_OUT = tuple(
    value
    for module in (sums, formulas)
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__ == module.__name__
)
WITH_DERIVATIVES = tuple(
    value
    for value in vars(derivatives).values()
    if isinstance(value, type) and value.__module__ == derivatives.__name__ and value is not derivatives.Flat
)
LAYERS = tuple(as_layer(algorithm, number) for number, algorithm in enumerate(ALGORITHMS))
HONEST = WRITTEN_OUT + WITH_DERIVATIVES + LAYERS

globals().update({layer.__name__: layer for layer in LAYERS})  # "tests.targets.honest:AsKahan" can be checked
