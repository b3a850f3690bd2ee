"""Right forward mode and second derivatives, written in other ways than the reference."""

import numpy as np

from tests.targets.mutants.right import D2l, EpsOutsideRoot, Flax
from tests.targets.mutants.twice import Twice, TwiceInTorchsStyle


class ChainRuleTwice(Twice):
    """Reverse mode of reverse mode, and forward mode."""


class ChainRuleTwiceAsTorch(TwiceInTorchsStyle):
    """The same under torch's conventions."""


class Flat(D2l):
    """(n, C) arrays for the formulas below, which give (ty, dx2, ddy, dgamma2)."""

    def train_jvp(self, x, tx, tgamma, tbeta):
        return {"ty": self.shaped(self.derivatives(x, tx, tx, tgamma, tbeta)["ddy"], x)}

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        result = self.derivatives(x, dy, ddx, ddgamma, ddbeta)
        return {name: a if a.ndim == 1 else self.shaped(a, x) for name, a in result.items()}

    def rows(self, x):
        return np.moveaxis(x, self.axis, -1).reshape(-1, x.shape[self.axis])

    def shaped(self, rows, x):
        last = np.moveaxis(x, self.axis, -1).shape
        return np.moveaxis(rows.reshape(last), -1, self.axis).astype(x.dtype)

    def derivatives(self, x, dy, ddx, ddgamma, ddbeta):
        x, dy, ddx = (self.rows(a) for a in (x, dy, ddx))
        return self.of_rows(x, dy, ddx, ddgamma, ddbeta)


class SumsOfProducts(Flat):
    """As PyTorch's batchnorm_double_backward: sums of what was given, and a covariance that is a difference."""

    def of_rows(self, x, dy, ddx, ddgamma, ddbeta):
        m, mean = self.work.type(len(x)), x.mean(axis=0)
        centred = x - mean
        r = 1 / np.sqrt(np.square(centred).mean(axis=0) + self.work.type(self.eps))
        sum_dy, sum_ddx = dy.sum(axis=0), ddx.sum(axis=0)
        dy_centred, ddx_centred = (dy * centred).sum(axis=0), (ddx * centred).sum(axis=0)
        both = sum_ddx * sum_dy / m - (dy * ddx).sum(axis=0) + 3 / m * r**2 * dy_centred * ddx_centred
        dx2 = centred * r**3 * both / m
        dx2 = dx2 + ddx_centred * r**3 / m * (sum_dy / m - dy) + dy_centred * r**3 / m * (sum_ddx / m - ddx)
        through = dy * r - r * sum_dy / m - centred * r**3 * dy_centred / m

        def backward(up):
            return r / m * (m * up - up.sum(axis=0) - centred * r**2 * (up * centred).sum(axis=0))

        ddy = self.gamma * backward(ddx) + ddgamma * (centred * r) + ddbeta
        return {"dx2": self.gamma * dx2 + ddgamma * through, "ddy": ddy, "dgamma2": (ddx * backward(dy)).sum(axis=0)}


class ForwardOverReverse(Flat):
    """The tangent of each line of a backward that divides by the standard deviation."""

    def of_rows(self, x, dy, ddx, ddgamma, ddbeta):
        n, two = self.work.type(len(x)), self.work.type(2)
        centred, moves = x - x.sum(axis=0) / n, ddx - ddx.sum(axis=0) / n
        std = np.sqrt((centred * centred).sum(axis=0) / n + self.work.type(self.eps))
        t_std = (centred * moves).sum(axis=0) / n / std
        x_hat, t_hat = centred / std, moves / std - centred / std / std * t_std
        up, t_up = dy * self.gamma, dy * ddgamma
        d_std = -(up * centred / std / std).sum(axis=0)
        t_d_std = -(t_up * centred / std / std + up * moves / std / std).sum(axis=0)
        t_d_std = t_d_std + two * (up * centred / std / std / std).sum(axis=0) * t_std
        d_var, t_d_var = d_std / std / two, t_d_std / std / two - d_std / std / std / two * t_std
        t = t_up / std - up / std / std * t_std + two / n * (moves * d_var + centred * t_d_var)
        ddy = self.gamma * t_hat + ddgamma * x_hat + ddbeta
        return {"dx2": t - t.sum(axis=0) / n, "ddy": ddy, "dgamma2": (dy * t_hat).sum(axis=0)}


class ForwardOverReverseLast(ForwardOverReverse, Flax):
    """Channels last."""


class ClosedOutsideRoot(EpsOutsideRoot, Flat):
    """eps outside the root, by derivatives of 1/(s + eps) by s."""

    conventions = {"preset": "d2l", "eps_at": "outside_sqrt"}  # noqa: RUF012

    def of_rows(self, x, dy, ddx, ddgamma, ddbeta):
        n, two = self.work.type(len(x)), self.work.type(2)
        centred, a, g = x - x.mean(axis=0), ddx - ddx.mean(axis=0), dy - dy.mean(axis=0)
        s = np.sqrt(np.square(centred).mean(axis=0))
        r = 1 / (s + self.work.type(self.eps))
        varies = np.where(s > 0, s, 1)
        of_a, of_g, both = ((p * q).mean(axis=0) for p, q in ((a, centred), (g, centred), (a, g)))
        slope = np.where(s > 0, r * r / varies, 0)  # -2 dr/dv
        bend = np.where(s > 0, (two * r * slope + slope / varies) / varies, 0)  # 4 d^2 r/dv^2
        dx2 = self.gamma * (centred * (bend * of_a * of_g - slope * both) - slope * (a * of_g + g * of_a))
        dx2 = dx2 + ddgamma * (r * g - slope * centred * of_g)
        ddy = self.gamma * (r * a - slope * centred * of_a) + ddgamma * centred * r + ddbeta
        return {"dx2": dx2, "ddy": ddy, "dgamma2": n * (r * both - slope * of_a * of_g)}
