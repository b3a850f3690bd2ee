"""tvm.relax.op.nn.batch_norm, compiled for the CPU by LLVM. Forward alone."""

import functools

import numpy as np
import tvm
from tvm import relax

NAMES = ("gamma", "beta", "moving_mean", "moving_var")


class TvmBatchNorm:
    conventions = {"preset": "torch", "moving_var": "biased", "single_value": "any"}
    dtypes = ("float64", "float32")
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        self.settings = {"epsilon": setup.eps, "momentum": setup.momentum}
        self.settings = {name: value for name, value in self.settings.items() if value is not None}
        self.arrays = {name: getattr(setup, name) for name in NAMES}

    def train(self, x, dy):  # noqa: ARG002 - no backward
        y, self.arrays["moving_mean"], self.arrays["moving_var"] = self._call(x, True)
        return {"y": y}

    def eval(self, x, dy):  # noqa: ARG002
        return {"y": self._call(x, False)[0]}

    def stats(self):
        return {name: self.arrays[name] for name in NAMES[2:]}

    def _call(self, x, training):
        machine = compiled(x.shape, x.dtype.name, training, tuple(self.settings.items()))
        tensors = (tvm.runtime.tensor(np.ascontiguousarray(a)) for a in (x, *self.arrays.values()))
        return [result.numpy() for result in machine["main"](*tensors)]


@functools.lru_cache(maxsize=64)
def compiled(shape, dtype, training, settings):
    kind = relax.TensorType
    inputs = [relax.Var("x", kind(shape, dtype)), *(relax.Var(name, kind(shape[1:2], dtype)) for name in NAMES)]
    builder = relax.BlockBuilder()
    with builder.function("main", inputs):
        with builder.dataflow():
            call = relax.op.nn.batch_norm(*inputs, axis=1, training=training, **dict(settings))
            results = builder.emit_output(builder.emit(call))
        builder.emit_func_output(results)
    return relax.VirtualMachine(relax.build(builder.get(), target="llvm"), tvm.cpu())
