"""Wrong by so little that rounding might do it: a number of the diagnosis tells the difference."""

import numpy as np

from tests.targets.mutants.right import D2l


class MeanTooLarge(D2l):
    """Each update leaves the moving mean 1/512 too large, a roundoff of bfloat16, but always to the same side."""

    expected, case = "unexplained", "rank2"

    def track(self, mean, var, n):
        super().track(mean, var, n)
        self.moving_mean = self.moving_mean * self.work.type(1 + 2.0**-9)


class MeanTooLargeIn16Bits(MeanTooLarge):
    """The same for 16-bit input alone, where y cannot show it and no wider type is there to compare with."""

    expected, case = "unexplained", "sixteen_bits"
    dtypes = ("bfloat16",)


class SettingsInFloat32(D2l):
    """As a library whose attributes have 32 bits: in float64, eps and momentum lack half their digits."""

    expected, case = "settings_rounded", "rank2"

    def __init__(self, setup):
        super().__init__(setup)
        self.eps, self.momentum = (float(np.float32(number)) for number in (setup.eps, setup.momentum))


class EpsInFloat32(D2l):
    expected, case = "settings_rounded", "rank4"

    def __init__(self, setup):
        super().__init__(setup)
        self.eps = float(np.float32(setup.eps))
