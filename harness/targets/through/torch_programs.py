"""What is made of a torch module: a compiled, exported or scripted program, a model of ONNX.

The functions are as those of torch_calls.py. Raises NotImplementedError, with its reason, for what cannot be made.
"""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.targets.through.kept_objects import launcher
from harness.targets.through.torch_layer import another, first_line, mode, state_of, unmoved
from harness.targets.wrap.torch_module import TorchModule


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


def export(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.export of the layer in its mode, then run on the layer's own parameters and buffers.

    An autograd.Function is dissolved into the operations of its forward; where these have no derivative, y and the
    statistics are judged, the gradients are not given, and a note says so.
    """
    return _exported(adapter, x, training, x.detach(), None)


def export_dynamic(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """The same of a batch of another size, which the program takes as any: nothing of it may be a constant."""
    wider = another(torch.cat([x.detach()] * 3)) if len(x) else another(x)
    return _exported(adapter, x, training, wider, {0: torch.export.Dim("batch")})


def _exported(adapter: TorchModule, x: Tensor, training: bool, example: Tensor, batch: Any) -> Any:
    """x through a program that was made of `example`. batch: its dynamic dimension, if any."""
    adapter.layer.train(training)
    before = {name: tensor.detach().clone() for name, tensor in state_of(adapter.layer).items()}
    given = mode(adapter, training)
    shapes = None if batch is None else (batch, *(None for _ in given))
    try:
        program = torch.export.export(adapter.layer, (example,), given, dynamic_shapes=shapes).module()
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


def aot_inductor(adapter: TorchModule, x: Tensor, training: bool) -> Any:
    """torch.export, compiled ahead of time into a library of its own, which is loaded: y of a prediction."""
    adapter.layer.train(training)
    try:
        program = torch.export.export(adapter.layer, (x.detach(),), mode(adapter, training))
    except Exception as error:
        raise NotImplementedError(f"torch.export refuses the layer: {first_line(error)}") from error
    with tempfile.TemporaryDirectory() as folder, without_compiler(), kept_objects():
        package = str(Path(folder) / "layer.pt2")
        compiled: Any = torch._inductor.aoti_compile_and_package(program, package_path=package)
        return torch._inductor.aoti_load_package(compiled)(x.detach(), **mode(adapter, training))


@contextlib.contextmanager
def kept_objects() -> Any:
    """Inductor's C++ compiler keeps what it compiles, and finds it again."""
    from torch._inductor import config, cpp_builder

    with config.patch({"cpp.cxx": (None, launcher(cpp_builder.get_cpp_compiler()))}):
        yield


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
