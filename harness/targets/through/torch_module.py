"""What is done to a torch module. Each function makes the call `adapter.layer(x)` through one transformation.

Each takes the adapter whose layer is played, x as a tensor, and the mode; it returns y, from which the adapter goes
back by autograd to x and to the layer's own parameters. It may put another module in `adapter.layer`'s place. Raises
NotImplementedError, with its reason, for what the transformation does not offer.
"""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.cases.script import parameter_dtype
from harness.targets.through.transformation import Transformation
from harness.targets.wrap import common
from harness.targets.wrap.torch_module import TorchModule

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def plain(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """The call as it is without a transformation."""
    return TorchModule.forward(adapter, x, training)


def plain_call(layer: nn.Module, x: Tensor, training: bool) -> Any:
    layer.train(training)
    return layer(x, **common.mode_argument(layer.forward, training))


def another(x: Tensor) -> Tensor:
    """Another batch of x's shape, finite and not constant: nothing of it may show in what is judged."""
    values = torch.linspace(3.0, 5.0, max(x.numel(), 1), dtype=torch.float64)[: x.numel()]
    return values.reshape(x.shape).to(dtype=x.dtype, device=x.device)


def mode(adapter: TorchModule, training: bool) -> dict[str, bool]:
    return common.mode_argument(adapter.layer.forward, training)


def state_of(layer: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers themselves, by name."""
    return {**dict(layer.named_parameters()), **dict(layer.named_buffers())}


# --- copies ---


def deepcopy(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """A copy goes on in the layer's place; the original then trains on another batch, which must not reach the copy."""
    original, adapter.layer = adapter.layer, copy.deepcopy(adapter.layer)
    with torch.no_grad():
        with contextlib.suppress(Exception):  # a batch of one value a channel, which is refused
            plain_call(original, another(x), True)
        for parameter in original.parameters():
            parameter.add_(1)
    return plain(adapter, x, training)


def state_dict(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """A new layer that started from other numbers goes on, with the state that was saved to bytes and loaded."""
    saved = io.BytesIO()
    torch.save(adapter.layer.state_dict(), saved)
    saved.seek(0)
    channels, kind = adapter.setup.num_features, parameter_dtype(adapter.setup.dtype)
    others = {"gamma": np.ones, "beta": np.zeros, "moving_mean": np.zeros, "moving_var": np.ones}
    there = {name: make(channels, kind) for name, make in others.items() if getattr(adapter.setup, name) is not None}
    fresh = type(adapter)(replace(adapter.setup, **there))
    fresh.layer.load_state_dict(torch.load(saved, weights_only=True))
    adapter.layer = fresh.layer
    return plain(adapter, x, training)


def to_dtype(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """`.to(torch.float64)` and back, which is exact for float32 parameters; a float64 layer goes to float64 only."""
    own = torch.float64 if x.dtype == torch.float64 else torch.float32
    adapter.layer.to(torch.float64).to(own)
    return plain(adapter, x, training)


def channels_last(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """Module and x in channels_last memory (channels_last_3d at rank 5)."""
    if x.dim() not in FORMATS:
        raise NotImplementedError(f"channels_last is for ranks 4 and 5, not {x.dim()}")
    adapter.layer.to(memory_format=FORMATS[x.dim()])
    return plain(adapter, x.contiguous(memory_format=FORMATS[x.dim()]), training)


# --- compilers and exporters ---


def compile(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.compile with Inductor, fullgraph: what would be run without being compiled is unsupported, not judged."""
    import torch._dynamo as dynamo

    limits = {"recompile_limit": 2**20, "accumulated_recompile_limit": 2**20}  # beyond them it would not compile
    adapter.layer.train(training)
    with dynamo.config.patch(limits), without_compiler():
        return torch.compile(adapter.layer, fullgraph=True, dynamic=True)(x, **mode(adapter, training))


@contextlib.contextmanager
def without_compiler() -> Any:
    """Errors that say that the layer cannot be captured, or that there is no compiler, as NotImplementedError."""
    import torch._dynamo.exc as dynamo_errors

    try:
        yield
    except (dynamo_errors.Unsupported, dynamo_errors.UserError) as error:
        raise NotImplementedError(f"not captured as one graph: {first_line(error)}") from None
    except Exception as error:
        if type(error).__name__ == "InvalidCxxCompiler" or "InvalidCxxCompiler" in str(error):
            raise NotImplementedError(f"Inductor finds no C++ compiler: {first_line(error)}") from None
        raise


def first_line(error: BaseException) -> str:
    """The first line of an error that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:160]


def export(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.export of the layer in its mode, then run on the layer's own parameters and buffers.

    An autograd.Function is dissolved into the operations of its forward; where these have no derivative, y and the
    statistics are judged, the gradients are not given, and a note says so.
    """
    adapter.layer.train(training)
    before = {name: tensor.detach().clone() for name, tensor in state_of(adapter.layer).items()}
    try:
        program = torch.export.export(adapter.layer, (x.detach(),), mode(adapter, training)).module()
    except Exception as error:
        raise NotImplementedError(f"torch.export refuses the layer: {first_line(error)}") from error
    unmoved(adapter, before, "torch.export")

    def run() -> Any:
        return torch.func.functional_call(program, state_of(adapter.layer), (x,), mode(adapter, training), strict=False)

    try:
        return run()
    except RuntimeError as error:
        if "automatic differentiation" not in str(error):
            raise
        adapter.adapter_notes["exported_without_backward"] = f"no gradients through export: {first_line(error)}"
    with torch.no_grad():
        for name, tensor in state_of(adapter.layer).items():
            tensor.copy_(before[name])
        return run()


def unmoved(adapter: TorchModule, before: dict[str, Tensor], what: str) -> None:
    """Raises RuntimeError if the state is not what it was: no capture may count as a training step."""
    for name, tensor in state_of(adapter.layer).items():
        if not torch.equal(torch.nan_to_num(tensor), torch.nan_to_num(before[name])):
            raise RuntimeError(f"{what} has changed {name}")


def script(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.jit.script, saved to bytes and loaded where the layer allows it; the mode is set on the scripted module."""
    if not isinstance(adapter.layer, torch.jit.ScriptModule):
        try:
            scripted = torch.jit.script(adapter.layer)
        except Exception as error:
            raise NotImplementedError(f"torch.jit.script refuses the layer: {first_line(error)}") from error
        saved = io.BytesIO()
        torch.jit.save(scripted, saved)
        saved.seek(0)
        adapter.layer = torch.jit.load(saved)
    adapter.layer.train(training)
    return adapter.layer(x)


def trace(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.jit.trace of the layer in its mode, on another batch; tracing calls the layer, so its state is put back."""
    adapter.layer.train(training)
    saved = copy.deepcopy(adapter.layer.state_dict())
    given = mode(adapter, training)
    if given:
        raise NotImplementedError(f"torch.jit.trace takes tensors only, and the layer wants {next(iter(given))}=")
    try:
        traced = torch.jit.trace(adapter.layer, (another(x),), check_trace=False)
    except Exception as error:
        raise NotImplementedError(f"torch.jit.trace refuses the layer: {first_line(error)}") from error
    adapter.layer.load_state_dict(saved)
    return traced(x)


def onnx(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:
    """Exported to ONNX and run by ONNX Runtime: y of a prediction. Training is not offered."""
    import onnxruntime

    if x.dtype is torch.bfloat16:
        raise NotImplementedError("ONNX Runtime takes NumPy's arrays, which have no bfloat16")
    adapter.layer.train(training)
    model: Any = io.BytesIO()
    try:
        torch.onnx.export(adapter.layer, (x.detach(),), model, input_names=["x"], dynamo=False)
    except Exception as error:
        raise NotImplementedError(f"torch.onnx.export refuses the layer: {first_line(error)}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.getvalue(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise NotImplementedError(f"ONNX Runtime refuses the model: {first_line(error)}") from error
    return torch.from_numpy(session.run(None, {"x": x.detach().contiguous().numpy()})[0])


# --- functions of the parameters ---


def functional_call(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.func.functional_call on copies of the state: these must move, the layer's own must not."""
    adapter.layer.train(training)
    own = {name: tensor.detach().clone() for name, tensor in state_of(adapter.layer).items()}
    parameters = dict(adapter.layer.named_parameters())
    given = {name: buffer.clone() for name, buffer in adapter.layer.named_buffers()}
    y = torch.func.functional_call(adapter.layer, {**parameters, **given}, (x,), mode(adapter, training))
    unmoved(adapter, own, "functional_call on other buffers")
    keep(adapter, given)
    return y


def keep(adapter: TorchModule, buffers: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, buffer in adapter.layer.named_buffers():
            buffer.copy_(buffers[name].detach())


def vmap(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """Two copies of the layer under torch.func.vmap, as an ensemble: the other is given another batch."""
    adapter.layer.train(training)
    names = [name for name, _ in adapter.layer.named_buffers()]
    stacked = {name: torch.stack([tensor + 1, tensor]) for name, tensor in state_of(adapter.layer).items()}

    def one(state: dict[str, Tensor], x: Tensor) -> Any:
        y = torch.func.functional_call(adapter.layer, state, (x,), mode(adapter, training))
        return y, {name: state[name] for name in names}

    try:
        y, moved = torch.func.vmap(one)(stacked, torch.stack([another(x), x]))
    except RuntimeError as error:
        raise NotImplementedError(f"torch.func.vmap refuses the layer: {first_line(error)}") from error
    keep(adapter, {name: buffer[1] for name, buffer in moved.items()})
    return y[1]


# --- what is done around the call ---


def checkpoint(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """Activation checkpointing, not reentrant: the backward calls the layer again, and statistics must move once."""
    return _checkpointed(adapter, x, training, reentrant=False)


def checkpoint_reentrant(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """Activation checkpointing, reentrant: the first call is under no_grad, and statistics must move once."""
    return _checkpointed(adapter, x, training, reentrant=True)


def _checkpointed(adapter: TorchModule, x: Tensor, training: bool, *, reentrant: bool) -> Any:
    from torch.utils.checkpoint import checkpoint as checkpointed

    return checkpointed(plain, adapter, x, training, use_reentrant=reentrant)


def autocast(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.autocast to bfloat16: batch norm is in no list of what is cast, so nothing changes."""
    with torch.autocast(x.device.type, torch.bfloat16):
        return plain(adapter, x, training)


def autocast_float16(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.autocast to float16."""
    with torch.autocast(x.device.type, torch.float16):
        return plain(adapter, x, training)


def no_grad(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """The forward under torch.no_grad: y and the statistics are the same, and the mode is still the module's."""
    with torch.no_grad():
        return plain(adapter, x, training)


def inference_mode(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """The forward under torch.inference_mode."""
    with torch.inference_mode():
        return plain(adapter, x, training)


def accumulate(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """Gradient accumulation: another batch goes forward before and after this one, and back, with dy = 0.

    In prediction mode, so that it moves no statistics. What it adds to the gradients is exactly 0.
    """
    first = plain(adapter, another(x).requires_grad_(), False)
    if first.requires_grad:
        first.backward(torch.zeros_like(first))
        for parameter in adapter.layer.parameters():
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0)  # where the statistics are not finite, 0 times them is not 0
    y = plain(adapter, x, training)
    with torch.no_grad():
        plain(adapter, another(x), False)
    return y


def ddp(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """DistributedDataParallel with one process (gloo), whose average of the gradients is the gradient."""
    start_one_process()
    adapter.layer.train(training)
    parallel = nn.parallel.DistributedDataParallel(adapter.layer)
    parallel.train(training)
    return parallel(x, **mode(adapter, training))


@lru_cache(1)
def start_one_process() -> None:
    if not torch.distributed.is_initialized():
        store = Path(tempfile.mkdtemp(prefix="bnproof-")) / "store"
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)


def fuse(adapter: TorchModule, x: Tensor, training: bool) -> Tensor:  # noqa: ARG001 - prediction only
    """fuse_conv_bn_eval with an identity 1x1 convolution, a group for each channel: y and dx.

    x * w + b, w = gamma / s and b = beta - mean * gamma / s, in the dtype of the parameters; it cancels where the mean
    is large, and is held to the bounds of a fold.
    """
    if not isinstance(adapter.layer, nn.modules.batchnorm._BatchNorm):
        raise NotImplementedError(f"fuse_conv_bn_eval takes torch's batch norms, not {type(adapter.layer).__name__}")
    if adapter.layer.running_mean is None:
        raise NotImplementedError("without moving statistics there is nothing to fold")
    computed_in = torch.float64 if x.dtype == torch.float64 else torch.float32
    channels, spatial = x.shape[1], max(x.dim() - 2, 1)
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[spatial - 1]
    convolution = kind(channels, channels, 1, groups=channels, device=x.device, dtype=computed_in)
    for parameter, value in zip(convolution.parameters(), (1.0, 0.0)):  # noqa: B905 - weight, bias; Python 3.9
        nn.init.constant_(parameter, value)
    fused = nn.utils.fusion.fuse_conv_bn_eval(convolution.eval(), copy.deepcopy(adapter.layer).to(computed_in).eval())
    torch.backends.cudnn.allow_tf32 = False  # in the backward pass too: products in 10 bits are not the fold's doing
    wide = x.to(computed_in)
    return fused(wide if x.dim() > 2 else wide.unsqueeze(-1)).reshape(x.shape).to(x.dtype)


def members(transformation: Transformation) -> dict[str, Any]:
    """What a subclass of TorchModule has in place of its own."""
    call = globals()[transformation.name.replace("-", "_")]
    folded = {"folded": True} if call is fuse else {}
    return {"forward": lambda self, x, training: call(self, x, training), **folded}
