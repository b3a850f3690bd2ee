# targets: torch-native@cuda, torch-script@cuda, torch-channels-last@cuda, timm@cuda
# title: on CUDA the gradients of gamma and beta of a 16-bit x are summed in 16 bits, though the parameters are float32
# documented: not found
import torch

x, dy = torch.randn(2, 64, 16, 32, 32, generator=torch.manual_seed(0)).bfloat16().cuda()
want, errors = dy.double().sum((0, 2, 3)), {}
for name, kind in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
    layer = torch.nn.BatchNorm2d(16, device="cuda")
    layer(x.to(kind)).backward(dy.to(kind))
    errors[name] = (layer.bias.grad - want).abs().max().item()
assert errors["bfloat16"] > 100 * errors["float32"]
print(f"FINDING sum(dy) errs by {errors['bfloat16']:.2g} for bfloat16 x, by {errors['float32']:.2g} as float32")
