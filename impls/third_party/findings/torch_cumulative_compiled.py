# targets: torch-native, torch-compiled
# title: with momentum=None the layer is refused by torch.compile(fullgraph=True) and by torch.export
# documented: pytorch/pytorch#194579
import torch

x, refused = torch.randn(8, 3), []
for capture in (lambda n: torch.compile(n, fullgraph=True)(x), lambda n: torch.export.export(n, (x,)).module()(x)):
    try:
        capture(torch.nn.BatchNorm1d(3, momentum=None))
    except Exception as error:
        refused.append(type(error).__name__)
assert len(refused) == 2
print(f"FINDING {' and '.join(refused)}: the weight 1/t is read from the buffer num_batches_tracked as a number")
