"""What an adapter of a layer that can be differentiated twice adds to the contract, in both modes."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from harness.targets.results import Results
from harness.targets.wrap import common


class DifferentiableAdapter(common.Adapter):
    """Second derivatives by `_twice`, forward mode by `_tangent`: each framework has its own."""

    def train_double(self, x: np.ndarray, dy: np.ndarray, *directions: np.ndarray) -> Results:
        return self._twice(x, dy, directions, True)

    def eval_double(self, x: np.ndarray, dy: np.ndarray, *directions: np.ndarray) -> Results:
        return self._twice(x, dy, directions, False)

    def train_jvp(self, x: np.ndarray, *tangents: np.ndarray) -> Results:
        return self._tangent(x, tangents, True)

    def eval_jvp(self, x: np.ndarray, *tangents: np.ndarray) -> Results:
        return self._tangent(x, tangents, False)

    @abstractmethod
    def _twice(self, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool) -> Results: ...

    @abstractmethod
    def _tangent(self, x: np.ndarray, tangents: tuple[np.ndarray, ...], training: bool) -> Results: ...
