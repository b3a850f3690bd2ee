"""Forward mode and second derivatives of batch normalization in closed form, in NumPy.

With L = <dy, y>, a layer's backward gives the gradient (dx, dgamma, dbeta) of L. Along directions (ddx, ddgamma,
ddbeta)

    S = <ddx, dx> + <ddgamma, dgamma> + <ddbeta, dbeta>

is a number, and its gradient by x, dy and gamma is what differentiating twice gives: (dx2, ddy, dgamma2). By beta it
is 0.

Derivation. A channel has n values; d = x - mean(x), v = mean(d^2), r = 1/sqrt(v + eps), xh = d r. An apostrophe takes
off the mean, g' = dy - mean(dy), a' = ddx - mean(ddx). With P = mean(a' d), Q = mean(g' d), T = mean(a' g') and
q = dr/dv, backward is dx = gamma (r g' + 2 q d Q), dgamma = n r Q, so that

    S = gamma n (r T + 2 q P Q) + ddgamma n r Q + ddbeta n mean(dy)

and, by dv/dx = 2 d/n, dP/dx = a'/n, dQ/dx = g'/n,

    dx2 = gamma (2 q d T + 4 (dq/dv) d P Q + 2 q (a' Q + g' P)) + ddgamma (2 q d Q + r g')

eps inside the root: q = -r^3/2, dq/dv = 3 r^5/4. Outside, r = 1/(s + eps) with s = sqrt(v): q = -f r^3/2 and
dq/dv = (2 f^2 + f^3) r^5/4, where f = (s + eps)/s (`BatchNorm.variance_slope`); f = 1 gives the former. With
c = r Q = mean(dy xh) and h = r P = mean(ddx xh) these are the lines of `train_double`.

dx is linear in dy, dx = J^T dy; therefore ddy = J (ddx, ddgamma, ddbeta), which is what forward mode computes.

The first derivatives are those of Ioffe and Szegedy 2015, section 3. No paper with the second ones was found; PyTorch's
`batchnorm_double_backward` (torch/csrc/autograd/FunctionsManual.cpp) has the case of eps inside the root.
"""

from __future__ import annotations

import numpy as np

from reference.batch_norm import BatchNorm, from_rows


class TwiceDifferentiable(BatchNorm):
    """A batch norm with forward mode and second derivatives. No method below moves the moving statistics.

    x, dy, ddx, tx: rank 2 to 5, of one shape, with at least one value per channel; the rest (C,). In code rows are
    (n, C). At a constant channel with eps outside the root no derivative exists, and the term through the variance is
    taken as 0.

    All raise as `checked_rows` does; the two of training also ValueError for one value per channel where
    `single_value` is "error".
    """

    def train_jvp(self, x: np.ndarray, tx: np.ndarray, tgamma: np.ndarray, tbeta: np.ndarray) -> np.ndarray:
        """ty, of x's shape: how y changes in training along the tangents of x, gamma and beta."""
        x_hat, scale, slope = self.standardized(x)  # (n, C), (C,), (C,) or 1
        ty = self.along(self.checked_rows(tx), tgamma, tbeta, x_hat, scale, slope)  # (n, C)
        return from_rows(ty, x.shape, self.conventions.channel_axis)

    def train_double(
        self, x: np.ndarray, dy: np.ndarray, ddx: np.ndarray, ddgamma: np.ndarray, ddbeta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(dx2, ddy, dgamma2): the gradient of S in training by x, dy and gamma."""
        x_hat, scale, slope = self.standardized(x)  # (n, C), (C,), (C,) or 1
        moves, grad = self.checked_rows(ddx), self.checked_rows(dy)  # (n, C), (n, C)
        n = x_hat.dtype.type(len(x_hat))
        ddy = self.along(moves, ddgamma, ddbeta, x_hat, scale, slope)  # (n, C)
        moves = moves - self.total(moves) / n  # (n, C): a'
        grad = grad - self.total(grad) / n  # (n, C): g'
        along = self.total(moves * x_hat) / n  # (C,): h
        against = self.total(grad * x_hat) / n  # (C,): c
        both = self.total(moves * grad) / n  # (C,): T
        curvature = slope * slope * (2 + slope)  # (C,) or 3
        through_x_hat = x_hat * (curvature * along * against - slope * both)  # (n, C)
        through_means = slope * (against * moves + along * grad)  # (n, C)
        dx2 = self.gamma * scale**2 * (through_x_hat - through_means)  # (n, C)
        dx2 = dx2 + ddgamma * scale * (grad - x_hat * (slope * against))  # (n, C)
        dgamma2 = n * scale * (both - slope * along * against)  # (C,)
        axis = self.conventions.channel_axis
        return from_rows(dx2, x.shape, axis), from_rows(ddy, x.shape, axis), dgamma2

    def eval_jvp(self, x: np.ndarray, tx: np.ndarray, tgamma: np.ndarray, tbeta: np.ndarray) -> np.ndarray:
        """ty in prediction, where the statistics are constants."""
        _, cache = self.eval(x)
        ty = self.along_constants(self.checked_rows(tx), tgamma, tbeta, cache["x_hat"], cache["scale"])  # (n, C)
        return from_rows(ty, x.shape, self.conventions.channel_axis)

    def eval_double(
        self, x: np.ndarray, dy: np.ndarray, ddx: np.ndarray, ddgamma: np.ndarray, ddbeta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(dx2, ddy, dgamma2) in prediction: y is linear in x there, and dx2 flows through dgamma alone."""
        _, cache = self.eval(x)
        x_hat, scale = cache["x_hat"], cache["scale"]  # (n, C), (C,)
        moves, grad = self.checked_rows(ddx), self.checked_rows(dy)  # (n, C), (n, C)
        ddy = self.along_constants(moves, ddgamma, ddbeta, x_hat, scale)  # (n, C)
        dx2 = ddgamma * scale * grad  # (n, C)
        dgamma2 = self.total(moves * grad) * scale  # (C,)
        axis = self.conventions.channel_axis
        return from_rows(dx2, x.shape, axis), from_rows(ddy, x.shape, axis), dgamma2

    def standardized(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | float]:
        """(x_hat (n, C), scale (C,), slope (C,) or 1) by x's own statistics."""
        rows = self.checked_rows(x)  # (n, C)
        if len(rows) == 0:
            raise ValueError(f"derivatives of training need at least one value per channel, got x of shape {x.shape}")
        if len(rows) == 1 and self.conventions.single_value == "error":
            raise ValueError(f"batch norm in training needs more than one value per channel, got x of shape {x.shape}")
        mean, var = self.batch_statistics(rows)  # (C,), (C,)
        _, cache = self.normalize(rows, mean, var)
        return cache["x_hat"], cache["scale"], self.variance_slope(var, cache["scale"])

    def along(
        self,
        moves: np.ndarray,
        tgamma: np.ndarray,
        tbeta: np.ndarray,
        x_hat: np.ndarray,
        scale: np.ndarray,
        slope: np.ndarray | float,
    ) -> np.ndarray:
        """The change of y (n, C) as x moves by `moves` (n, C), and mean and variance with it."""
        n = moves.dtype.type(len(moves))
        moves = moves - self.total(moves) / n  # (n, C): as the mean moves too
        along = self.total(moves * x_hat) / n  # (C,)
        of_x = self.gamma * scale * (moves - x_hat * (slope * along))  # (n, C)
        return of_x + tgamma * x_hat + tbeta  # (n, C)

    def along_constants(
        self, moves: np.ndarray, tgamma: np.ndarray, tbeta: np.ndarray, x_hat: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """The change of y (n, C) where mean and variance stay as they are."""
        return self.gamma * scale * moves + tgamma * x_hat + tbeta  # (n, C)
