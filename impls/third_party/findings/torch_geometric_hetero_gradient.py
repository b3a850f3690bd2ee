# targets: torch-geometric-hetero
# title: HeteroBatchNorm's dx takes the batch's mean and variance for constants: it computes them under no_grad
# documented: not found in its API page, its issues, or pull request 6838, which added it
import torch
from torch_geometric.nn import HeteroBatchNorm

torch.manual_seed(0)
x, dy, types = torch.randn(8, 3, requires_grad=True), torch.randn(8, 3), torch.zeros(8, dtype=torch.long)
sums = {}
for layer, arguments in ((torch.nn.BatchNorm1d(3), (x,)), (HeteroBatchNorm(3, num_types=1), (x, types))):
    (dx,) = torch.autograd.grad(layer(*arguments), x, dy)
    sums[type(layer).__name__] = dx.sum(0).abs().max().item()
assert sums["HeteroBatchNorm"] > 0.1 > 1e-5 > sums["BatchNorm1d"]
print("FINDING y does not change with the mean of x, so dx sums to 0 over the batch; the largest sum of a channel is")
print(", ".join(f"{value:.2g} in {name}" for name, value in sums.items()))
