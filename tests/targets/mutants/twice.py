"""A right batch norm with forward mode and second derivatives, by the chain rule node by node, to derive mutants from.

Forward mode follows mean, x - mean, variance, scale. Second derivatives are reverse mode of reverse mode: what is
called `of_...` is the gradient by that part of the first backward.
"""

from tests.targets.mutants.right import D2l, Torch


class Twice(D2l):
    def train_jvp(self, x, tx, tgamma, tbeta):
        mean, var = self.statistics(x)
        _, saved = self.forward(x, mean, var)
        moves = tx - self.along(self.tangent_of_mean(tx), x)
        centred = x - self.along(mean, x)
        t_var = 2 * (centred * moves).mean(axis=self.axes(x))
        t_scale = self.tangent_of_scale(saved["scale"], var, t_var)
        t_hat = moves * self.along(saved["scale"], x) + centred * self.along(t_scale, x)
        return {"ty": self.tangent_of_output(t_hat, saved["x_hat"], tgamma, tbeta).astype(x.dtype)}

    def eval_jvp(self, x, tx, tgamma, tbeta):
        _, saved = self.forward(x, *self.statistics_for_prediction(x))
        t_hat = tx * self.along(saved["scale"], x)
        return {"ty": self.tangent_of_output(t_hat, saved["x_hat"], tgamma, tbeta).astype(x.dtype)}

    def tangent_of_mean(self, tx):
        return tx.mean(axis=self.axes(tx))

    def tangent_of_scale(self, scale, var, t_var):  # noqa: ARG002
        return self.work.type(-0.5) * scale**3 * t_var

    def tangent_of_output(self, t_hat, x_hat, tgamma, tbeta):
        return self.along(self.gamma, x_hat) * t_hat + self.along(tgamma, x_hat) * x_hat + self.along(tbeta, x_hat)

    def train_double(self, x, dy, ddx, ddgamma, ddbeta):
        axes, n = self.axes(x), self.work.type(self.count(x))
        mean, var = self.statistics(x)
        _, saved = self.forward(x, mean, var)
        r, x_hat, centred = saved["scale"], saved["x_hat"], x - self.along(mean, x)
        # the first backward
        up = dy * self.along(self.gamma, x)
        d_scale = (up * centred).sum(axis=axes)
        d_var = self.work.type(-0.5) * r**3 * d_scale
        # and its own gradient
        of_centred_grad = ddx - self.along(ddx.mean(axis=axes), x)
        of_d_var = 2 * (of_centred_grad * centred).sum(axis=axes) / n
        of_d_scale = self.work.type(-0.5) * r**3 * of_d_var
        of_scale = self.curvature(r, d_scale, of_d_var) + (of_centred_grad * up).sum(axis=axes)
        of_scale = of_scale + ddgamma * (dy * centred).sum(axis=axes)
        of_up = of_centred_grad * self.along(r, x) + centred * self.along(of_d_scale, x)
        of_centred = of_centred_grad * self.along(2 * d_var / n, x) + up * self.along(of_d_scale, x)
        of_centred = of_centred + dy * self.along(self.through_dgamma(ddgamma) * r, x)
        of_centred = of_centred + self.through_scale(centred, r, of_scale) / n
        return {
            "dx2": self.less_its_mean(of_centred).astype(x.dtype),
            "ddy": self.second_dy(of_up, x_hat, ddgamma, ddbeta).astype(x.dtype),
            "dgamma2": self.second_gamma((dy * of_up).sum(axis=axes), dy, of_centred_grad, r),
        }

    def curvature(self, r, d_scale, of_d_var):
        return self.work.type(-1.5) * r**2 * d_scale * of_d_var

    def through_scale(self, centred, r, of_scale):
        return centred * self.along(-(r**3) * of_scale, centred)

    def through_dgamma(self, ddgamma):
        return ddgamma

    def less_its_mean(self, rows):
        return rows - self.along(rows.mean(axis=self.axes(rows)), rows)

    def second_dy(self, of_up, x_hat, ddgamma, ddbeta):
        return self.tangent_of_output(of_up, x_hat, ddgamma, ddbeta)

    def second_gamma(self, dgamma2, dy, moves, r):  # noqa: ARG002
        return dgamma2

    def eval_double(self, x, dy, ddx, ddgamma, ddbeta):
        _, saved = self.forward(x, *self.statistics_for_prediction(x))
        scale = self.along(saved["scale"], x)
        return {
            "dx2": (dy * scale * self.along(ddgamma, x)).astype(x.dtype),
            "ddy": self.tangent_of_output(ddx * scale, saved["x_hat"], ddgamma, ddbeta).astype(x.dtype),
            "dgamma2": (ddx * dy * scale).sum(axis=self.axes(x)),
        }


class TwiceInTorchsStyle(Torch, Twice):
    """The same with momentum and variance as torch has them."""


class TwiceByConstants(Twice):
    """What a layer that detaches its statistics gives: a part of several mutants."""

    def of_constants(self, x, dy, ddx, ddgamma, ddbeta):
        _, saved = self.forward(x, *self.statistics(x))
        scale = self.along(saved["scale"], x)
        return {
            "dx2": dy * scale * self.along(ddgamma, x),
            "ddy": self.tangent_of_output(ddx * scale, saved["x_hat"], ddgamma, ddbeta),
            "dgamma2": (ddx * dy * scale).sum(axis=self.axes(x)),
        }
