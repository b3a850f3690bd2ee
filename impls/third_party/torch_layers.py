"""torch.nn.BatchNorm1d, 2d and 3d as they come, and BatchNorm2d on channels_last memory and compiled."""

import inspect

import torch
from torch import nn

CLASSES = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
ALL_DTYPES = ("float64", "float32", "bfloat16", "float16")


def batch_norm(
    num_features, ndim, eps=None, momentum=None, *, affine=True, bias=True, track_running_stats=True, cumulative=False
):
    """The layer for inputs of rank `ndim`, 2 to 5; its own defaults for what is None."""
    given = {name: value for name, value in (("eps", eps), ("momentum", momentum)) if value is not None}
    given |= {"momentum": None} if cumulative else {}
    given |= {} if bias or not affine else {"bias": False}
    layer = CLASSES[ndim]
    if "bias" in given and "bias" not in inspect.signature(layer).parameters:
        raise NotImplementedError("this torch has no scale without shift")
    return layer(num_features, affine=affine, track_running_stats=track_running_stats, **given)


batch_norm.conventions = "torch"  # type: ignore[attr-defined]
batch_norm.dtypes = ALL_DTYPES  # type: ignore[attr-defined]
batch_norm.ranks = tuple(CLASSES)  # type: ignore[attr-defined]


class ChannelsLast(nn.BatchNorm2d):
    conventions = "torch"
    dtypes = ALL_DTYPES

    def forward(self, x):
        return super().forward(x.contiguous(memory_format=torch.channels_last))


class PredictsAlone(nn.BatchNorm2d):
    """A base of layers as they are deployed: all that they have are constants."""

    conventions = "torch"
    dtypes = ("float64", "float32")
    trains = False

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.requires_grad_(False)


def compiled(num_features, eps=1e-5, momentum=0.1, backend="inductor"):
    """Never the layer itself: without `fullgraph` torch runs that in its place after a few shapes and settings."""
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 10_000
    return torch.compile(nn.BatchNorm2d(num_features, eps, momentum), fullgraph=True, backend=backend)


compiled.conventions = "torch"  # type: ignore[attr-defined]
compiled.dtypes = ("float32",)  # type: ignore[attr-defined]  # each dtype and shape is compiled anew
compiled.ranks = (4,)  # type: ignore[attr-defined]
