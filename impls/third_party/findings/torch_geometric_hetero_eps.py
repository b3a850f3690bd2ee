# targets: torch-geometric-hetero
# title: HeteroBatchNorm does not add eps to the variance: a smaller variance is replaced by it
# documented: not found; the formula of its class BatchNorm, to which it compares itself, adds eps
import torch
from torch_geometric.nn import HeteroBatchNorm

x, eps = torch.tensor([[0.0], [2.0]]), 1.0  # of variance 1
layer = HeteroBatchNorm(1, num_types=1, eps=eps)
got, want = (y[1].item() for y in (layer(x, torch.zeros(2, dtype=torch.long)), (x - 1) / (1 + eps) ** 0.5))
assert abs(got - 1) < 1e-6
print(f"FINDING x = 2 of mean 1, variance 1, eps 1: y is {got:.4f}, not 1/sqrt(1 + 1) = {want:.4f}")
