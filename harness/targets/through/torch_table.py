"""The transformations of torch modules: each a function in torch_calls.py, torch_sharded.py, torch_programs.py,
torch_quantization.py, torch_folds.py, torch_own_folds.py or torch_litert.py."""

from __future__ import annotations

from harness.targets.through.own_folds import NO_PARAMETERS, own_folds
from harness.targets.through.transformation import (
    GRADIENTS,
    PREDICTION,
    SECOND,
    STATISTICS,
    TRAINING,
    Transformation,
)

DOCS = "https://docs.pytorch.org/docs/stable"
FORWARD = (TRAINING, PREDICTION, STATISTICS)
NO_BACKWARD = "no gradient is taken through it"
FROZEN = "Inductor freezes what predicts, without gradients"
NO_ORDER = "only second derivatives have an order"
FUSION = f"{DOCS}/generated/torch.nn.utils.fusion"


def _torch(name: str, what: str, source: str, keeps: tuple[str, ...] = (), **others: object) -> Transformation:
    given = {"keeps": keeps} if keeps else {}
    return Transformation(name, "torch", what, source, **given, **others)  # type: ignore[arg-type]


TORCH = (
    _torch("compile", "torch.compile with Inductor, one graph", f"{DOCS}/generated/torch.compile.html", program="g++"),
    _torch("export", "torch.export, run on the layer's state", f"{DOCS}/export.html"),
    _torch("export-dynamic", "torch.export of another batch size, dynamic", f"{DOCS}/export.html"),
    _torch(
        "aot-inductor",
        "torch.export, compiled ahead of time by Inductor, loaded",
        f"{DOCS}/torch.compiler_aot_inductor.html",
        (PREDICTION,),
        program="g++",
        lacks="what is compiled ahead of time is the prediction, without gradients",
    ),
    _torch("script", "torch.jit.script, saved and loaded", f"{DOCS}/generated/torch.jit.script.html"),
    _torch("trace", "torch.jit.trace in each mode", f"{DOCS}/generated/torch.jit.trace.html"),
    _torch(
        "onnx",
        "torch.onnx.export, run in ONNX Runtime",
        f"{DOCS}/onnx.html",
        (PREDICTION,),
        needs=("onnx", "onnxruntime"),
        lacks="ONNX Runtime is given the exported prediction; it has no backward",
    ),
    _torch("vmap", "an ensemble of two under torch.func.vmap", f"{DOCS}/func.batch_norm.html"),
    _torch("functional-call", "torch.func.functional_call", f"{DOCS}/generated/torch.func.functional_call.html"),
    _torch("checkpoint", "activation checkpointing, not reentrant", f"{DOCS}/checkpoint.html"),
    _torch("checkpoint-reentrant", "activation checkpointing, reentrant", f"{DOCS}/checkpoint.html"),
    _torch("autocast", "torch.autocast to bfloat16", f"{DOCS}/amp.html"),
    _torch("autocast-float16", "torch.autocast to float16", f"{DOCS}/amp.html"),
    _torch("to-dtype", ".to(float64) and back", f"{DOCS}/generated/torch.nn.Module.html#torch.nn.Module.to"),
    _torch("swap-tensors", "the same, tensors swapped", f"{DOCS}/generated/torch.utils.swap_tensors.html"),
    _torch("meta", "to the meta device, to_empty, its state_dict loaded", f"{DOCS}/meta.html"),
    _torch("channels-last", "module and x in channels_last memory", f"{DOCS}/tensor_attributes.html"),
    _torch("deepcopy", "copy.deepcopy; the original trains on", "https://docs.python.org/3/library/copy.html"),
    _torch("state-dict", "its state_dict in a new layer", f"{DOCS}/notes/serialization.html"),
    *(
        _torch(name, what, f"{FUSION}.{function}.html", (PREDICTION, GRADIENTS), lacks=NO_PARAMETERS)
        for name, what, function in (
            ("fuse", "fuse_conv_bn_eval, a convolution of each channel by itself", "fuse_conv_bn_eval"),
            ("fuse-conv", "fuse_conv_bn_eval, a convolution of all channels", "fuse_conv_bn_eval"),
            ("fuse-grouped", "fuse_conv_bn_eval, a convolution in groups of channels", "fuse_conv_bn_eval"),
            ("fuse-transposed", "fuse_conv_bn_eval, a transposed convolution", "fuse_conv_bn_eval"),
            ("fuse-transposed-grouped", "fuse_conv_bn_eval, a transposed one in groups", "fuse_conv_bn_eval"),
            ("fuse-dense", "fuse_linear_bn_eval, a dense layer", "fuse_linear_bn_eval"),
        )
    ),
    *(
        _torch(name, what, f"{DOCS}/generated/torch.compile.html", (PREDICTION,), program="g++", lacks=FROZEN)
        for name, what in (
            ("fuse-conv-inductor", "Inductor with freezing, after a convolution of all channels"),
            ("fuse-grouped-inductor", "Inductor with freezing, after a convolution in groups of channels"),
        )
    ),
    _torch("qat", "torch.ao's fold for quantization-aware training, nothing quantized", f"{DOCS}/quantization.html"),
    *own_folds("torch"),
    *(
        _torch(
            name,
            f"litert-torch, run in LiteRT{where}",
            "https://github.com/google-ai-edge/litert-torch",
            (PREDICTION,),
            needs=("litert_torch", "ai_edge_litert"),
            lacks="LiteRT is given the exported prediction; it has no backward",
        )
        for name, where in (
            ("litert", ""),
            ("fuse-conv-litert", ", after a convolution of all channels"),
            ("fuse-grouped-litert", ", after a convolution in groups of channels"),
            ("fuse-transposed-litert", ", after a transposed convolution"),
            ("fuse-dense-litert", ", after a dense layer"),
        )
    ),
    *(
        _torch(name, what, f"{DOCS}/generated/torch.func.{of}.html", (SECOND,), lacks=NO_ORDER)
        for name, what, of in (
            ("forward-over-reverse", "second derivatives by torch.func, jvp of vjp", "hessian"),
            ("reverse-over-forward", "second derivatives by torch.func, vjp of jvp", "vjp"),
            ("forward-over-forward", "second derivatives by torch.func, jvp of jvp", "jvp"),
        )
    ),
    _torch("ddp", "DistributedDataParallel, one process", f"{DOCS}/notes/ddp.html"),
    _torch("fsdp", "fully_shard (FSDP), one process", f"{DOCS}/distributed.fsdp.fully_shard.html"),
    _torch("accumulate", "other batches forward and back between", f"{DOCS}/notes/amp_examples.html"),
    _torch("no-grad", "forward under torch.no_grad", f"{DOCS}/notes/autograd.html", FORWARD, lacks=NO_BACKWARD),
    _torch(
        "inference-mode",
        "forward under torch.inference_mode",
        f"{DOCS}/notes/autograd.html",
        FORWARD,
        lacks=NO_BACKWARD,
    ),
)
