"""Targets that misbehave on purpose, for the tests of isolation and of the command line."""

import gc
import os
import sys
import time

import numpy as np

from reference.under_test import NumpyBatchNorm


class Good(NumpyBatchNorm):
    pass


class Segfaults(NumpyBatchNorm):
    def train(self, x, dy):
        if x.ndim == 4:
            import ctypes

            ctypes.string_at(0)
        return super().train(x, dy)


class Hangs(NumpyBatchNorm):
    """Waits forever without using the processor."""

    def eval(self, x, dy):
        if x.ndim == 4:
            time.sleep(3600)
        return super().eval(x, dy)


class HangsWhenWarm(NumpyBatchNorm):
    """Answers the first script and no later one: the limit is that of a case, not of the first call."""

    played = 0

    def __init__(self, setup):
        super().__init__(setup)
        HangsWhenWarm.played += 1

    def eval(self, x, dy):
        while HangsWhenWarm.played > 1:
            pass
        return super().eval(x, dy)


class EatsMemory(NumpyBatchNorm):
    def train(self, x, dy):
        hoard = []
        while x.ndim == 4:
            hoard.append(np.ones(2**24))
        return super().train(x, dy)


class Exits(NumpyBatchNorm):
    def train(self, x, dy):
        if x.ndim == 4:
            sys.exit(3)
        return super().train(x, dy)


class Raises(NumpyBatchNorm):
    def train(self, _x, _dy):
        raise RuntimeError("no training today")


class Prints(NumpyBatchNorm):
    def train(self, x, dy):
        os.write(2, b"a line from C\n")
        return super().train(x, dy)


class ChangesGlobals(NumpyBatchNorm):
    def train(self, x, dy):
        np.seterr(all="ignore")
        os.environ["BNPROOF_TEST_LEFTOVER"] = str(time.time())
        return super().train(x, dy)


class NothingSupported(NumpyBatchNorm):
    def __init__(self, setup):
        raise NotImplementedError("not on this machine")


class TorchVarianceKeepMomentum(NumpyBatchNorm):
    """Momentum as in the tutorial, moving variance as in torch; not declared."""

    conventions = None

    def __init__(self, setup):
        from dataclasses import replace

        if setup.eps is None or setup.momentum is None:
            raise ValueError("eps and momentum are needed")
        super().__init__(setup)
        self.layer.conventions = replace(self.layer.conventions, moving_var="unbiased")


class IntegersOnly(NumpyBatchNorm):
    dtypes = ("int32",)


class NotATarget:
    pass


number = 3


class NeedsGarbageCollected(NumpyBatchNorm):
    def train(self, x, dy):
        if not gc.isenabled():
            raise RuntimeError("nobody looks for garbage")
        return super().train(x, dy)
