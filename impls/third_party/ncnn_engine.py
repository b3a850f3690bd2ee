"""ncnn's BatchNorm layer, prediction only. A sample at a time: its blobs have no batch axis."""

import tempfile

import ncnn
import numpy as np

WEIGHTS = ("gamma", "moving_mean", "moving_var", "beta")
"""In the order of its model files."""


class NcnnBatchNorm:
    conventions = {"preset": "d2l", "default_eps": 0.0}
    dtypes = ("float32",)
    ranks = (2, 3, 4, 5)

    def __init__(self, setup):
        eps = "" if setup.eps is None else f"1={setup.eps:.9e}"
        layers = ("Input input 0 1 x", f"BatchNorm norm 1 1 x y 0={setup.num_features} {eps}")
        self.net = ncnn.Net()
        self.net.opt.use_fp16_packed = self.net.opt.use_fp16_storage = self.net.opt.use_fp16_arithmetic = False
        self.net.opt.use_vulkan_compute = False
        self.net.load_param_mem("\n".join(("7767517", "2 2", *layers, "")))
        with tempfile.NamedTemporaryFile() as file:
            for name in WEIGHTS:
                file.write(getattr(setup, name).astype(np.float32).tobytes())
            file.flush()
            self.net.load_model(file.name)

    def eval(self, x, dy):  # noqa: ARG002 - no backward
        return {"y": np.array([self._of_sample(sample) for sample in x]).reshape(x.shape)}

    def _of_sample(self, sample):
        extractor = self.net.create_extractor()
        extractor.input("x", ncnn.Mat(np.ascontiguousarray(sample)).clone())
        status, y = extractor.extract("y")
        if status != 0:
            raise RuntimeError(f"ncnn gives status {status}")
        return np.array(y)
