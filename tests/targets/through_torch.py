"""torch layers that are right as they are called and wrong through one transformation, and a right one for each."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class BatchNorm2d(nn.BatchNorm2d):
    """torch's own, which says of itself what it takes: nothing need be tried."""

    dtypes = ("float32",)
    ranks = (4,)


class Formula(BatchNorm2d):
    """The plain formula, which PyTorch differentiates by the chain rule."""

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        wide = (slice(None), None, None)
        scaled = (x - mean[wide]) / torch.sqrt(var[wide] + self.eps)
        return self.weight[wide] * scaled + self.bias[wide]


def in_backward():
    return torch._C._current_graph_task_id() != -1


class MovesOnce(BatchNorm2d):
    """Right under checkpointing too: the recomputation leaves the statistics alone. torch's own layer does not."""

    def forward(self, x):
        if self.training and in_backward():
            aside = self.running_mean.clone(), self.running_var.clone()
            return F.batch_norm(x, *aside, self.weight, self.bias, True, self.momentum, self.eps)
        return super().forward(x)


class SharesBuffers(BatchNorm2d):
    """Its copies have parameters of their own, and the same moving statistics."""

    def __deepcopy__(self, memo):
        copied = SharesBuffers(self.num_features, self.eps, self.momentum, dtype=self.weight.dtype)
        copied.load_state_dict(self.state_dict())
        copied.running_mean, copied.running_var = self.running_mean, self.running_var
        memo[id(self)] = copied
        return copied


class LosesVariance(BatchNorm2d):
    """Its moving variance is in no state_dict."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.register_buffer("running_var", self.running_var, persistent=False)


class ModeInPython(BatchNorm2d):
    """Its own flag for the mode, set by its own `train`: a scripted module's `train` does not know it."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.in_training = True

    def train(self, mode=True):
        self.in_training = mode
        return super().train(mode)

    def forward(self, x):
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.in_training, self.momentum, self.eps
        )


class MeansAsNumbers(BatchNorm2d):
    """Moves its mean by Python numbers, which a trace writes down as constants."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        means = torch.tensor(x.detach().mean((0, 2, 3)).tolist(), dtype=x.dtype)
        with torch.no_grad():
            self.running_mean.lerp_(means, self.momentum)
        aside = self.running_mean.clone()
        return F.batch_norm(x, aside, self.running_var, self.weight, self.bias, True, self.momentum, self.eps)


class Flattening(torch.autograd.Function):
    """The batch's statistics; under vmap, those of all copies together."""

    @staticmethod
    def forward(x):
        return x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)

    @staticmethod
    def setup_context(ctx, inputs, _):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, dmean, dvar):
        (x,) = ctx.saved_tensors
        n = x.numel() / x.shape[1]
        mean = x.mean((0, 2, 3), keepdim=True)
        return (dmean[:, None, None] + 2 * (x - mean) * dvar[:, None, None]) / n

    @staticmethod
    def vmap(info, in_dims, x):  # noqa: ARG004
        mean, var = Flattening.apply(x.flatten(0, 1))
        return (mean.expand(info.batch_size, -1), var.expand(info.batch_size, -1)), (0, 0)


class MixesCopies(BatchNorm2d):
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        mean, var = Flattening.apply(x)
        n = x.numel() / x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (n / (n - 1)), self.momentum)
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


class MeansByMatmul(BatchNorm2d):
    """Channel means as a product with ones, which autocast rounds to 16 bits."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        rows = x.transpose(0, 1).flatten(1)
        mean = (rows @ rows.new_full((rows.shape[1], 1), 1 / rows.shape[1])).to(x.dtype)
        var = (rows - mean).square().mean(1, keepdim=True)
        with torch.no_grad():
            n = rows.shape[1]
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(var.flatten() * (n / (n - 1)), self.momentum)
        scale = self.weight[:, None] / torch.sqrt(var + self.eps)
        y = (rows - mean) * scale + self.bias[:, None]
        return y.unflatten(1, (x.shape[0], *x.shape[2:])).transpose(0, 1)


class HoldsBuffers(BatchNorm2d):
    """Its statistics in a list besides, by which it moves them: what replaces the buffers leaves the list behind."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.held = [self.running_mean, self.running_var]

    def forward(self, x):
        mean, var = self.held
        momentum = self.momentum
        if momentum is None and self.training:
            self.num_batches_tracked.add_(1)
            momentum = 1 / self.num_batches_tracked.item()
        training = self.training or mean is None
        return F.batch_norm(x, mean, var, self.weight, self.bias, training, momentum or 0.0, self.eps)


class ReadsMemory(BatchNorm2d):
    """Takes x's memory for contiguous."""

    def forward(self, x):
        strides = torch.empty(x.shape, device="meta").stride()
        if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
            x = x.as_strided(x.shape, strides)
        return super().forward(x)


class OtherWhenCompiled(BatchNorm2d):
    """A branch for compilers, with half the weight of a new batch."""

    def forward(self, x):
        momentum = self.momentum / 2 if torch.compiler.is_compiling() else self.momentum
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )


class NoShiftWhenCompiled(BatchNorm2d):
    """A branch for compilers that leaves beta out of predictions."""

    def forward(self, x):
        if self.training or not torch.compiler.is_compiling():
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, None, False, 0.0, self.eps)


class KeepsOnItself(BatchNorm2d):
    """What its backward needs it keeps on the module: the next forward writes over it."""

    def forward(self, x):
        layer = self

        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(_, y, gamma):
                layer.kept = y.detach()
                return y * gamma

            @staticmethod
            def backward(_, dy):
                gamma = layer.weight[:, None, None].detach()
                return dy * gamma, dy * layer.kept

        given = (x, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps)
        return Scale.apply(F.batch_norm(*given), self.weight[:, None, None]) + self.bias[:, None, None]


class ModeFollowsGrad(BatchNorm2d):
    """Training mode only where gradients are on."""

    def forward(self, x):
        training = self.training and torch.is_grad_enabled()
        given = (x, self.running_mean, self.running_var, self.weight, self.bias, training, self.momentum, self.eps)
        return F.batch_norm(*given)


class EpsOutside(BatchNorm2d):
    """eps beside the square root, in prediction only shown: a fold, which knows torch's own formula, loses it."""

    conventions = {"preset": "torch", "eps_at": "outside_sqrt"}  # noqa: RUF012

    def forward(self, x):
        n = x.numel() / x.shape[1]
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (n / (n - 1)), self.momentum)
        scale = self.weight / (torch.sqrt(var) + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


class TwiceInParallel(BatchNorm2d):
    """Where processes have been started it takes itself for one of two, and averages the gradient of gamma again."""

    def forward(self, x):
        y = super().forward(x)
        if torch.distributed.is_initialized() and y.requires_grad:
            return y + (self.weight - self.weight.detach())[:, None, None] * y.detach() * 0.5
        return y


class KeepsExamplesCount(BatchNorm2d):
    """Bessel's factor by the size of the batch that a program was made of, whatever batch comes."""

    def forward(self, x):
        if self.training:
            size = x.shape[0]
            n = (size.node.hint if isinstance(size, torch.SymInt) else size) * x.shape[2] * x.shape[3]
            with torch.no_grad():
                self.running_mean.lerp_(x.mean((0, 2, 3)), self.momentum)
                self.running_var.lerp_(x.var((0, 2, 3), correction=0) * (n / (n - 1)), self.momentum)
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class HoldsGamma(BatchNorm2d):
    """Its gamma in a list besides, by which it scales: what replaces its parameters leaves the list behind."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.held = [self.weight]

    def forward(self, x):
        given = (x, self.running_mean, self.running_var, self.held[0], self.bias)
        return F.batch_norm(*given, self.training, self.momentum, self.eps)
