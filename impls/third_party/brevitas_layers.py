"""brevitas.nn.BatchNorm1dToQuantScaleBias and 2d, their quantizers off: folded into a scale and a shift when loaded."""

import torch
from brevitas.nn import BatchNorm1dToQuantScaleBias, BatchNorm2dToQuantScaleBias

from impls.third_party.torch_layers import PredictsAlone

CLASSES = {3: BatchNorm1dToQuantScaleBias, 4: BatchNorm2dToQuantScaleBias}


class ScaleBias(PredictsAlone):
    """Its parameters and statistics are torch's, and are loaded anew for each prediction."""

    ranks = (3, 4)

    def forward(self, x):
        if self.running_mean is None or self.weight is None or self.bias is None:
            raise NotImplementedError("it is made of gamma, beta and both statistics")
        layer = CLASSES[x.ndim](self.num_features, self.eps, weight_quant=None).to(x)
        with torch.no_grad():
            layer.load_state_dict(self.state_dict(), strict=False)  # else it misses what it makes itself
        return layer(x)
