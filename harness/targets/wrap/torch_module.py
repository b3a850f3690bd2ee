"""A torch nn.Module behind the contract."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.targets.results import Keywords, Results
from harness.targets.wrap import common, options, torch_derivatives
from harness.targets.wrap.differentiable import DifferentiableAdapter

DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}
RANKS = ((nn.BatchNorm1d, (2, 3)), (nn.BatchNorm2d, (4,)), (nn.BatchNorm3d, (5,)))


def wrap(target: Callable[..., Any], given: Keywords | None = None) -> type:
    """A class or factory of a module -> an implementation under test. given: settings to build it with."""
    kind = target if isinstance(target, type) else object
    native = issubclass(kind, nn.modules.batchnorm._BatchNorm) and kind.__module__.startswith("torch.nn.")
    adapter = common.adapter_for(
        TorchModule,
        target,
        given,
        conventions="torch" if native else None,
        dtypes=tuple(DTYPES) if native else None,
        ranks=next((ranks for base, ranks in RANKS if issubclass(kind, base)), None),
    )
    adapter.devices = getattr(target, "devices", adapter.devices)  # type: ignore[attr-defined]
    adapter.has_training = getattr(target, "trains", True)  # type: ignore[attr-defined]
    adapter.masked = isinstance(target, type) and options.takes_mask(kind.forward)  # type: ignore[attr-defined]
    if not getattr(target, "trains", True):
        for name in ("train", "train_no_grad", "train_jvp", "train_double"):
            setattr(adapter, name, None)
    return adapter


class TorchModule(DifferentiableAdapter):
    """One module. Parameters are float32 for 16-bit x; the mode is the module's own, `train()` or `eval()`.

    Raises common.AdapterError where the module has no gamma or beta, or gives something else than a y like x.
    """

    adapter = "a torch module"
    options = options.ALL
    has_training = True
    """False: a layer of prediction alone, whose mode says nothing."""
    framework = "torch"
    batch_norm = nn.modules.batchnorm._BatchNorm
    devices = ("cpu", "cuda")
    library = "torch"

    def __init__(self, setup: Any) -> None:
        self.setup, self.dtype, self.device = setup, DTYPES[setup.dtype], setup.device
        wide = torch.promote_types(self.dtype, torch.float32)
        asked = replace(setup, cumulative=False) if self._is_native() else setup
        others = {"dtype": wide, "device": self.device, **options.keywords(self.target, asked)}
        arguments = common.arguments(self.target, setup, others, self.given)
        if setup.cumulative and self._is_native():
            arguments["momentum"] = None
        self.layer = self.target(**arguments)
        if not isinstance(self.layer, nn.Module):
            raise common.AdapterError(f"{common.called(self.target)} made a {type(self.layer).__name__}, not a module")
        self.layer.to(device=self.device, dtype=wide)
        self.note_replaced(setup, common.set_numbers(self.layer, setup, arguments, trains=self.train is not None))
        shapes = {path: tuple(value.shape) for path, value in tensors(self.layer).items()}
        self.paths = common.find_arrays(shapes, setup.num_features)
        self.paths = options.without_absent(self.paths, setup)
        common.require(self.paths, options.built_with(setup), shapes, common.called(type(self.layer)))
        self.note_mapping(self.paths)
        for ours, path in self.paths.items():
            set_tensor(self.layer, path, torch.from_numpy(getattr(setup, ours)))
        common.check_read_back(setup, {name: to_numpy(self._tensor(name)) for name in self.paths})
        self.stats = self._stats if "moving_mean" in self.paths or "moving_var" in self.paths else None

    def _is_native(self) -> bool:
        """Whether it is torch's own class, to which a momentum of None means a cumulative average."""
        return isinstance(self.target, type) and issubclass(self.target, self.batch_norm)

    def _tensor(self, ours: str) -> Tensor:
        owner, name = owner_of(self.layer, self.paths[ours])
        return getattr(owner, name)

    def train(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
        return self._step(x, dy, True, *([] if mask is None else [mask]))

    def eval(self, x: np.ndarray, dy: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
        return self._step(x, dy, False, *([] if mask is None else [mask]))

    def frozen(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """In a model that trains, put into `eval()` after the model's `train()`: torch has no other frozen layer."""
        model = nn.Sequential(self.layer)
        model.train()
        return self._step(x, dy, not self.has_training)

    def train_no_grad(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            return {"y": to_numpy(self._call(self._on_device(x), True))}

    def forward(self, x: Tensor, training: bool) -> Any:
        """The layer's call, unchecked: what a transformation (../through) replaces."""
        self.layer.train(training)
        return self.layer(x, **common.mode_argument(self.layer.forward, training))

    def _call(self, x: Tensor, training: bool, mask: np.ndarray | None = None) -> Tensor:
        y = self.forward(x, training) if mask is None else self._call_masked(x, training, mask)
        if not isinstance(y, Tensor):
            raise common.AdapterError(f"the module returned a {type(y).__name__}, not a tensor")
        if y.shape != x.shape:
            raise common.AdapterError(f"y has shape {tuple(y.shape)}, x {tuple(x.shape)}: not a batch norm?")
        if y.device != x.device:
            raise common.AdapterError(f"y is on {y.device}, x on {x.device}")
        return y

    def _call_masked(self, x: Tensor, training: bool, mask: np.ndarray) -> Any:
        whole = options.with_channels(mask, x.ndim, self.layer)
        return self.layer.train(training)(x, mask=torch.from_numpy(whole).to(self.device))

    def _step(
        self, x: np.ndarray, dy: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        self.layer.zero_grad()
        leaf = self._on_device(x).requires_grad_()
        y = self._call(leaf, training, mask)
        result = {"y": to_numpy(y)}
        if y.requires_grad:
            differentiate(y, self._on_device(dy))
            gradients = {"dx": leaf.grad}
            gradients |= {f"d{name}": self._tensor(name).grad for name in ("gamma", "beta") if name in self.paths}
            result |= {name: to_numpy(value) for name, value in gradients.items() if value is not None}
        return {name: value if name in ("y", "dx") else value.ravel() for name, value in result.items()}

    def _twice(
        self, x: np.ndarray, dy: np.ndarray, directions: tuple[np.ndarray, ...], training: bool
    ) -> dict[str, np.ndarray]:
        leaf, upstream = (self._on_device(a).requires_grad_() for a in (x, dy))
        point = (leaf, *self._variables())
        y = self._call(leaf, training)
        if not y.requires_grad:
            raise NotImplementedError("y has no gradient")
        result = torch_derivatives.twice(y, point, upstream, self._shaped(directions, point))
        return {name: to_numpy(a) if name in ("dx2", "ddy") else to_numpy(a).ravel() for name, a in result.items()}

    def _tangent(self, x: np.ndarray, tangents: tuple[np.ndarray, ...], training: bool) -> dict[str, np.ndarray]:
        owners = [owner_of(self.layer, self.paths[name]) for name in ("gamma", "beta")]
        point = (self._on_device(x), *self._variables())
        try:
            with torch_derivatives.duals(point, self._shaped(tangents, point)) as (dual_x, *parameters):
                with torch_derivatives.replaced(owners, parameters):
                    y = self._call(dual_x, training)
                return {"ty": to_numpy(torch_derivatives.tangent_of(y))}
        except RuntimeError as error:  # NotImplementedError is one, and says the same
            raise NotImplementedError(f"PyTorch has no forward mode for it: {error}") from error

    def _variables(self) -> tuple[Tensor, Tensor]:
        """gamma and beta. Raises NotImplementedError where they are constants: along them there is no derivative."""
        gamma, beta = self._tensor("gamma"), self._tensor("beta")
        if not (gamma.requires_grad and beta.requires_grad):
            raise NotImplementedError("its gamma and beta are constants")
        return gamma, beta

    def _shaped(self, directions: tuple[np.ndarray, ...], point: tuple[Tensor, ...]) -> list[Tensor]:
        along_x, *others = directions
        tensors = [torch.from_numpy(a).to(p.device).reshape(p.shape) for a, p in zip(others, point[1:])]  # noqa: B905
        return [self._on_device(along_x), *tensors]

    def _on_device(self, x: np.ndarray) -> Tensor:
        return on_device(to_torch(x, self.dtype), self.device)

    def _stats(self) -> dict[str, np.ndarray]:
        names = [name for name in ("moving_mean", "moving_var") if name in self.paths]
        return {name: to_numpy(self._tensor(name)).ravel() for name in names}

    def state(self) -> Results:
        return copy.deepcopy(self.layer.state_dict())

    def load_state(self, state: Results) -> None:
        self.layer.load_state_dict(state)


def tensors(layer: nn.Module) -> dict[str, Tensor]:
    """Parameters, buffers and plain attributes, by path."""
    by_path: dict[str, Tensor] = {}
    for prefix, module in layer.named_modules():
        held = {**module._parameters, **module._buffers, **vars(module)}
        by_path |= {
            f"{prefix}.{name}".strip("."): value
            for name, value in held.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
    return by_path


def differentiate(y: Tensor, dy: Tensor) -> None:
    """y.backward(dy), for which torch (2.14) imports all of SymPy, half a second, to compare the two shapes.

    Raises RuntimeError where they differ.
    """
    if y.shape == dy.shape:
        Upstream.apply(y, dy).backward()
    else:
        y.backward(dy)  # raises


class Upstream(torch.autograd.Function):
    """A number whose gradient by y is dy."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, dy: Tensor) -> Tensor:
        ctx.dy = dy
        return y.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor, None]:
        return ctx.dy, None


def owner_of(layer: nn.Module, path: str) -> tuple[nn.Module, str]:
    """(the module that holds the tensor at `path`, the tensor's name there). A scripted module has no get_submodule."""
    *parents, name = path.split(".")
    owner = layer
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name


def set_tensor(layer: nn.Module, path: str, value: Tensor) -> None:
    owner, name = owner_of(layer, path)
    old = getattr(owner, name)
    if old.dtype != value.dtype:  # a plain attribute, which `layer.to` does not reach
        setattr(owner, name, value.clone().reshape(old.shape))
    else:
        with torch.no_grad():
            old.copy_(value.reshape(old.shape))


def to_torch(x: np.ndarray, dtype: torch.dtype) -> Tensor:
    """A tensor with x's values and strides; 16 bits go by way of float32, which holds them exactly."""
    if dtype in (torch.bfloat16, torch.float16):
        return torch.from_numpy(x.astype(np.float32)).to(dtype)
    as_it_lies = x.flags.writeable and min(x.strides, default=0) >= 0  # torch has no negative strides
    return torch.from_numpy(x if as_it_lies else x.copy())


def on_device(x: Tensor, device: str) -> Tensor:
    """x there, with its own strides."""
    return x if x.device.type == device else copied(x, device)


def copied(x: Tensor, device: str) -> Tensor:
    """A copy with x's strides: a plain one would lay out anew what is not dense. A stride of zero stays one."""
    once = x[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.stride())]
    return torch.empty_strided(once.shape, once.stride(), dtype=x.dtype, device=device).copy_(once).expand(x.shape)


def to_numpy(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        import ml_dtypes

        return value.float().numpy().astype(ml_dtypes.bfloat16)
    return value.numpy()
