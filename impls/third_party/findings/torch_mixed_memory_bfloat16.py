# targets: torch-channels-last, speechbrain
# title: bfloat16 x and dy on different or transposed memory: the float32 gradient of bias is summed in bfloat16
# documented: for float16 by its issue 147303, which its pull request 147353 mends: float16 alone is right here
import torch

torch.manual_seed(0)
x, dy = torch.randn(8, 16, 16, 16).bfloat16(), torch.randn(8, 16, 16, 16).bfloat16() + 0.25
x = x.contiguous(memory_format=torch.channels_last)
for memory in (torch.channels_last, torch.contiguous_format):
    layer = torch.nn.BatchNorm2d(16)  # its parameters are float32
    layer(x).backward(dy.contiguous(memory_format=memory))
    error = (layer.bias.grad.double() - dy.double().sum((0, 2, 3))).abs().max().item()
    print(f"dy on {memory}: the {layer.bias.grad.dtype} gradient of bias errs by {error:.2g}")
assert error > 0.1
print(f"FINDING the gradient of bias errs by {error:.2g} where dy's memory is not x's")
