"""Our PyTorch layer behind the contract of an implementation under test: the target `torch`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from impls.pytorch.batch_norm import BatchNorm

TORCH_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Module:
    conventions: Any = "d2l"
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16", "float16")
    layer: Any

    def __init__(self, setup: Any) -> None:
        self.dtype = TORCH_DTYPES[setup.dtype]
        layer = BatchNorm(setup.num_features, setup.eps, setup.momentum, dtype=parameter_dtype(self.dtype))
        with torch.no_grad():
            for name in ("gamma", "beta", "moving_mean", "moving_var"):
                getattr(layer, name).copy_(torch.from_numpy(getattr(setup, name)))
        self.layer = layer

    def train(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self._step(x, dy, training=True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return self._step(x, dy, training=False)

    def train_no_grad(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            return named(y=self.layer.train()(to_torch(x, self.dtype)))

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> dict[str, np.ndarray]:
        self.layer.train(training)
        self.layer.zero_grad()
        leaf = to_torch(x, self.dtype).requires_grad_()
        y = self.layer(leaf)
        y.backward(to_torch(dy, self.dtype))
        dgamma, dbeta = self.parameter_gradients()
        return named(y=y, dx=leaf.grad, dgamma=dgamma, dbeta=dbeta)

    def parameter_gradients(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """(dgamma, dbeta); a layer with other names overrides this."""
        return self.layer.gamma.grad, self.layer.beta.grad

    def stats(self) -> dict[str, np.ndarray]:
        mean, var = self.layer.moving_statistics()
        return named(moving_mean=mean, moving_var=var)

    def state(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.layer.state_dict().items()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        self.layer.load_state_dict(state)


def parameter_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def to_torch(x: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A tensor with x's values and strides; bfloat16 goes by way of float32, which holds it exactly."""
    if dtype in (torch.bfloat16, torch.float16):
        return torch.from_numpy(x.astype(np.float32)).to(dtype)
    return torch.from_numpy(x if x.flags.writeable else x.copy())


def named(**tensors: torch.Tensor | None) -> dict[str, np.ndarray]:
    """A result by name; a gradient that there is none of is left out."""
    return {name: to_numpy(value) for name, value in tensors.items() if value is not None}


def to_numpy(value: torch.Tensor) -> np.ndarray:
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        import ml_dtypes

        return value.float().numpy().astype(ml_dtypes.bfloat16)
    return value.numpy()
