"""A torch module that is called otherwise: by a copy, as a function of its parameters, within something.

Each function takes the adapter whose layer is played, x as a tensor, and the mode; it returns y, from which the adapter
goes back by autograd to x and to the layer's own parameters. It may put another module in `adapter.layer`'s place.
Raises NotImplementedError, with its reason, for what the transformation does not offer.
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
from harness.targets.through.torch_layer import another, first_line, keep, mode, plain, plain_call, state_of, unmoved
from harness.targets.wrap.torch_module import TorchModule

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


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


def swap_tensors(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """The same where a parameter stays the object that it is: its contents are swapped with those of the new one."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return to_dtype(adapter, x, training)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def meta(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """A copy on the meta device, which has no numbers, goes on once it has memory and the state that was saved.

    What is in that memory before loading is nobody's: here NaN.
    """
    empty = copy.deepcopy(adapter.layer).to("meta").to_empty(device=x.device)
    with torch.no_grad():
        for tensor in state_of(empty).values():
            tensor.fill_(torch.nan if tensor.is_floating_point() else 0)
    empty.load_state_dict(adapter.layer.state_dict())
    adapter.layer = empty
    return plain(adapter, x, training)


def channels_last(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """Module and x in channels_last memory (channels_last_3d at rank 5)."""
    if x.dim() not in FORMATS:
        raise NotImplementedError(f"channels_last is for ranks 4 and 5, not {x.dim()}")
    adapter.layer.to(memory_format=FORMATS[x.dim()])
    return plain(adapter, x.contiguous(memory_format=FORMATS[x.dim()]), training)


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
