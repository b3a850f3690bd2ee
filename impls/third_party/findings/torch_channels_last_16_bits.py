# targets: torch-channels-last
# title: on channels_last memory, bfloat16 gradients of float32 weight and bias lose digits that NCHW memory keeps
# documented: no
import torch

torch.manual_seed(0)
x, dy = torch.randn(8, 4, 16, 8).bfloat16(), (torch.randn(8, 4, 16, 8) + 0.25).bfloat16()
want = dy.double().sum((0, 2, 3))
for memory in (torch.contiguous_format, torch.channels_last):
    layer = torch.nn.BatchNorm2d(4)  # float32 parameters
    layer(x.contiguous(memory_format=memory)).backward(dy.contiguous(memory_format=memory))
    error = (layer.bias.grad.double() - want).abs().max().item()
    print(f"{memory}: bias.grad is {layer.bias.grad.dtype} and errs by {error:.2g}")
assert error > 1e-3
print("FINDING the sum of dy is rounded to 16 bits on channels_last memory")
