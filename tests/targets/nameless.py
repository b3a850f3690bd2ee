"""Wrong batch norms whose mistake has no id: none of them may be called by a name that is not its own."""

import numpy as np

from tests.targets.mutants.right import D2l

# --- prediction alone, and nothing of a batch norm in it ---


class PredictionOnly:
    conventions = "d2l"

    def __init__(self, setup):
        self.right = D2l(setup)

    def eval(self, x, dy):
        return {"y": self.predicted(x, dy)}

    def predicted(self, x, dy):
        return self.right.eval(x, dy)["y"]


class Zeros(PredictionOnly):
    def predicted(self, x, dy):  # noqa: ARG002
        return np.zeros_like(x)


class Identity(PredictionOnly):
    def predicted(self, x, dy):  # noqa: ARG002
        return x


class RandomNumbers(PredictionOnly):
    def predicted(self, x, dy):  # noqa: ARG002
        return np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)


PREDICT_ANYTHING = (Zeros, Identity, RandomNumbers)
