# targets: torch-decomposed, torch-compiled
# title: torch.compile rounds the saved mean and deviation of a 16-bit input to 16 bits on the CPU, and so dgamma and dx
# documented: not found; its pull requests 77407 and 84013 made them float32, the second for every device
import torch

x, dy = torch.randn(2, 64, 3, 4, 4, generator=torch.manual_seed(0)).bfloat16()
wide = x.double()
x_hat = (wide - wide.mean((0, 2, 3), keepdim=True)) / (wide.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
want, errors = (x_hat * dy.double()).sum((0, 2, 3)), {}
for backend in ("eager", "aot_eager_decomp_partition"):
    layer = torch.nn.BatchNorm2d(3)
    torch.compile(layer, backend=backend)(x).backward(dy)
    errors[backend] = ((layer.weight.grad - want).abs().max() / want.abs().max()).item()
assert errors["aot_eager_decomp_partition"] > 1e3 * errors["eager"]
as_it_is, compiled = errors.values()
print(f"FINDING dgamma errs by {as_it_is:.1g} of its size as it is, by {compiled:.1g} compiled")
