"""torch-native@cuda in case sixteen_bits_thousand, bfloat16: dbeta of step 1 (train)."""

from pathlib import Path

import ml_dtypes  # for NumPy's bfloat16
import numpy as np

with np.load(Path(__file__).with_name('script-torch-native~40cuda.sixteen_bits_thousand.npz')) as file:
    arrays = {name: array.view(ml_dtypes.bfloat16) for name, array in file.items()}

channels, eps, momentum = 5, 1e-05, 0.125
gamma = np.array([1.1389280557632446, -0.6780619621276855, 1.415516972541809, 1.659723162651062, -1.4002413749694824], np.float32)
beta = np.array([1.3841525316238403, -0.9904927611351013, 0.8055121898651123, -1.3805668354034424, 0.9826023578643799], np.float32)
moving_mean = np.array([-0.3242303133010864, 0.6340135931968689, 0.41989371180534363, 0.9220185279846191, 0.9733577966690063], np.float32)
moving_var = np.array([1.5560306310653687, 0.27939727902412415, 1.6622228622436523, 0.9897723197937012, 2.0084495544433594], np.float32)

import torch

layer = torch.nn.BatchNorm2d(channels, eps, momentum).to(torch.float32)
for name, value in zip(('weight', 'bias', 'running_mean', 'running_var'), (gamma, beta, moving_mean, moving_var)):
    with torch.no_grad():
        getattr(layer, name).copy_(torch.tensor(value).reshape(getattr(layer, name).shape))


def call(op, x, dy):
    layer.train(op != "eval")
    x, dy = (torch.tensor(array.astype(np.float64)).to(torch.bfloat16) for array in (x, dy))
    with torch.set_grad_enabled(op != "train_no_grad"):
        y = layer(x.requires_grad_())
    results = {"y": y}
    if y.requires_grad:
        weights = [getattr(layer, name) for name in ('weight', 'bias', 'running_mean', 'running_var')[:2]]
        results |= zip(("dx", "dgamma", "dbeta"), torch.autograd.grad(y, [x, *weights], dy))
    results |= {ours: getattr(layer, name) for ours, name in zip(("moving_mean", "moving_var"), ('weight', 'bias', 'running_mean', 'running_var')[2:])}
    values = {name: value.detach().double().numpy() for name, value in results.items()}
    return {name: value if name in ("y", "dx") else value.ravel() for name, value in values.items()}


steps = [
    ('eval', arrays['x0'], arrays['dy0']),
    ('train', arrays['x1'], arrays['dy1']),
]
for op, x, dy in steps:
    results = call(op, x, dy)

expected, bound = 261.89085388183594, 0.006785329982205761
got = float(results['dbeta'][(4,)])
print(f"dbeta[4] is {got!r}, not {expected!r}; rounding allows an error of {bound:.3g}")
raise SystemExit(not abs(got - expected) <= bound)
