"""An algorithm as a class under test: the contract around it, conventions chosen to suit."""

from __future__ import annotations

import numpy as np

from reference.conventions import conventions_from
from tests.targets.honest.algorithm import Algorithm


class AlgorithmLayer:
    """Rows (n, C) for the algorithm, whatever the rank; moving statistics by the conventions that are declared."""

    algorithm: Algorithm
    conventions: str | dict = "d2l"

    def __init__(self, setup):
        self.declared = conventions_from(self.conventions)
        self.axis = self.declared.channel_axis
        self.eps, self.keep = setup.eps, self.declared.keep_weight(setup.momentum)
        self.gamma, self.beta = np.array(setup.gamma), np.array(setup.beta)
        self.average_mean, self.average_var = np.array(setup.moving_mean), np.array(setup.moving_var)
        self.updates = 0

    def train(self, x, dy):
        rows, dy_rows = self.rows(x), self.rows(dy)
        n = len(rows)
        if n == 1 and self.declared.single_value == "error":
            raise ValueError("training needs more than one value per channel")
        values = self.algorithm.train(rows, dy_rows, self.gamma, self.beta, self.eps, self.declared.eps_at)
        var = values.pop("var")
        if self.declared.moving_var == "unbiased":
            var = self.algorithm.unbiased(var, n)
        self.average_mean = self.algorithm.moved(self.average_mean, values.pop("mean"), self.keep)
        self.average_var = self.algorithm.moved(self.average_var, var, self.keep)
        self.updates += 1
        return self.results(values, x)

    def eval(self, x, dy):
        statistics = self.stats().values()
        values = self.algorithm.eval(
            self.rows(x), self.rows(dy), self.gamma, self.beta, *statistics, self.eps, self.declared.eps_at
        )
        return self.results(values, x)

    def stats(self):
        return {"moving_mean": self.debiased(self.average_mean), "moving_var": self.debiased(self.average_var)}

    def debiased(self, average):
        if not self.declared.debias or not self.updates:
            return average
        return self.algorithm.debiased(average, self.keep, self.updates)

    def state(self):
        return {name: getattr(self, name) for name in ("gamma", "beta", "average_mean", "average_var", "updates")}

    def load_state(self, state):
        for name, value in state.items():
            setattr(self, name, value)

    def rows(self, x):
        return np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])

    def results(self, values, x):
        moved = np.moveaxis(x, self.axis, -1).shape
        for name in ("y", "dx"):
            values[name] = np.ascontiguousarray(np.moveaxis(values[name].reshape(moved), -1, self.axis))
        return values


DECLARED: tuple[str | dict, ...] = (
    "torch",
    "d2l",
    "flax",
    {"preset": "d2l", "eps_at": "outside_sqrt"},
    "keras",
    {"preset": "flax", "debias": True},
    {"preset": "torch", "moving_var": "biased"},
)


def as_layer(algorithm: Algorithm, number: int) -> type[AlgorithmLayer]:
    """The class, with the conventions that come next."""
    members = {
        "__doc__": f"Computes as {algorithm.name} does.",
        "algorithm": algorithm,
        "conventions": DECLARED[number % len(DECLARED)],
    }
    return type(f"As{algorithm.name}", (AlgorithmLayer,), members)
