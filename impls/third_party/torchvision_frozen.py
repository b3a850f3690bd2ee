"""torchvision.ops.FrozenBatchNorm2d: prediction alone; it has no mode and no gradients of gamma and beta."""

from torchvision.ops import FrozenBatchNorm2d


class Frozen(FrozenBatchNorm2d):
    conventions = "torch"
    ranks = (4,)
    trains = False
