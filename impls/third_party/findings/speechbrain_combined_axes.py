# targets: speechbrain-combined
# title: combine_batch_time on four axes cuts x anew instead of exchanging its last two: channels are mixed
# documented: not found; "4d tensors can be used when combine_dims=True"
import torch
from speechbrain.nnet.normalization import BatchNorm1d

torch.manual_seed(0)
x = torch.randn(4, 5, 2, 3) + torch.tensor([0.0, 10.0, 20.0])  # batch, time, and three channels last of all
layer = BatchNorm1d(input_size=3, combine_batch_time=True)
means = layer(x).mean((0, 1, 2)).tolist()
assert max(map(abs, means)) > 0.1
print(f"FINDING the normalized channels have the means {', '.join(f'{m:.2f}' for m in means)}, not 0")
print(f"its moving means, of which each moved by a tenth, are {layer.norm.running_mean.tolist()}")
