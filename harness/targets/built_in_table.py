"""The table of the targets that come with the project: our own, the frameworks', and other libraries'."""

from __future__ import annotations

from harness.targets.built_in_kind import COMPILED, JSON_FOR_CPP, BuiltIn

OURS: dict[str, BuiltIn] = {
    "numpy": BuiltIn("reference.under_test:NumpyBatchNorm", "numpy", "the reference, in the case's own dtype"),
    "torch": BuiltIn(
        "impls.pytorch.batch_norm:BatchNorm", "torch", "our nn.Module, closed-form backward", "pip install torch"
    ),
    "jax": BuiltIn(
        "impls.jax_flax.batch_norm:compiled", "jax flax", "our function with a custom_jvp", "pip install jax flax optax"
    ),
    "flax": BuiltIn("impls.jax_flax.batch_norm:BatchNorm", "jax flax", "our nnx module", "pip install jax flax optax"),
    "tutorial": BuiltIn(
        "impls.third_party.tutorial:BatchNorm", "torch", "the tutorial's layer, faults and all", "pip install torch"
    ),
    "torch-native": BuiltIn(
        "impls.third_party.torch_layers:batch_norm", "torch", "torch.nn.BatchNorm1d to 3d", "pip install torch"
    ),
    "flax-nnx": BuiltIn(
        "impls.third_party.flax_nnx:BatchNorm", "flax", "flax.nnx.BatchNorm as it comes", "pip install flax jax"
    ),
    "flax-linen": BuiltIn(
        "impls.third_party.flax_linen:BatchNorm", "flax", "flax.linen.BatchNorm as it comes", "pip install flax jax"
    ),
}


def _other(where: str, needs: str, what: str, install: str, **more: str) -> BuiltIn:
    """more: program, as_of, python."""
    return BuiltIn(f"impls.third_party.{where}", needs, what, f"pip install {install}", in_matrix_only=True, **more)


def _node(words: str, what: str, packages: str) -> BuiltIn:
    return BuiltIn(f"exec:node {words}", "", what, f"npm install {packages}", "node", in_matrix_only=True)


def _cpp(words: str, what: str, package: str, flags: str) -> BuiltIn:
    install = f"apt-get install {package} {JSON_FOR_CPP}"
    return BuiltIn(f"exec:{COMPILED} {words}", "", what, install, flags=flags, in_matrix_only=True)


def _one_dnn(words: str, what: str) -> BuiltIn:
    return _cpp(f"onednn.cpp {words}", f"oneDNN's primitive, {what}", "libdnnl-dev", "-ldnnl")


ONNX_OPSETS = (7, 9, 14, 15)
"""Those in which the operator changed since a rank-2 input was allowed. Training has outputs from 14 on."""


def _ours(where: str, needs: str, what: str, install: str) -> BuiltIn:
    return BuiltIn(f"impls.{where}", needs, what, f"pip install {install}", in_matrix_only=True)


OTHERS: dict[str, BuiltIn] = {
    "torch-triton": BuiltIn(
        "impls.pytorch.triton_layer:TritonBatchNorm",
        "torch triton",
        "our nn.Module by Triton kernels, on CUDA",
        "pip install torch triton",
        in_matrix_only=True,
    ),
    **{
        name: BuiltIn(
            f"impls.jax_flax.pallas_layer:{way}",
            "jax flax",
            f"our function in JAX by Pallas kernels, {what}; interpreted on the CPU",
            "pip install jax flax optax",
            in_matrix_only=True,
        )
        for name, way, what in (
            ("jax-pallas", "whole", "a channel on the chip where it can be"),
            ("jax-pallas-parts", "parts", "a channel in parts"),
        )
    },
    "torch-options": _ours(
        "pytorch.option_batch_norm:OptionBatchNorm", "torch", "our nn.Module with masks and other options", "torch"
    ),
    "flax-options": _ours(
        "jax_flax.option_batch_norm:OptionBatchNorm",
        "jax flax",
        "our nnx module with masks and other options",
        "jax flax optax",
    ),
    "torch-cpp": BuiltIn(
        "impls.pytorch.cpp_layer:CppBatchNorm",
        "torch",
        "our nn.Module by C++ kernels, on the CPU",
        "pip install torch; python -m impls.pytorch.cpp_batch_norm",
        built_by="impls.pytorch.cpp_build",
        in_matrix_only=True,
    ),
    "torch-channels-last": _other(
        "torch_layers:ChannelsLast", "torch", "torch.nn.BatchNorm2d on channels_last memory", "torch"
    ),
    "torch-compiled": _other(
        "torch_layers:compiled", "torch", "torch.compile of torch.nn.BatchNorm2d", "torch", program="g++"
    ),
    "torch-decomposed": _other(
        "torch_programs:decomposed", "torch", "the operators into which torch.compile takes the layer apart", "torch"
    ),
    "torch-script": _other(
        "torch_programs:scripted", "torch", "torch.jit.script of torch.nn.BatchNorm1d to 3d", "torch"
    ),
    "torch-export": _other(
        "torch_programs:Exported", "torch", "torch.export of torch.nn.functional.batch_norm", "torch"
    ),
    "torch-mkldnn": _other(
        "torch_programs:Mkldnn",
        "torch",
        "torch.nn.BatchNorm2d on oneDNN's tensors, whose prediction has no backward",
        "torch",
    ),
    "torch-folded": _other(
        "torch_programs:Folded", "torch", "torch's folding into a convolution, prediction only", "torch"
    ),
    "torchvision-frozen": _other(
        "torchvision_frozen:Frozen", "torchvision", "torchvision.ops.FrozenBatchNorm2d, prediction only", "torchvision"
    ),
    "timm": _other("timm_layers:batch_norm_act", "timm", "timm.layers.BatchNormAct2d, its activation off", "timm"),
    "mmcv-fused": _other(
        "mmcv_layers:Fused",
        "mmcv torch",
        "mmcv.cnn.fuse_conv_bn, folding into a convolution, prediction only",
        "mmcv-lite torch",
    ),
    "brevitas": _other(
        "brevitas_layers:ScaleBias",
        "brevitas torch",
        "brevitas.nn.BatchNorm1dToQuantScaleBias and 2d, not quantized, prediction only",
        "brevitas torch",
    ),
    "fastai-flat": _other("fastai_layers:flat", "fastai", "fastai.layers.BatchNorm1dFlat", "fastai"),
    "speechbrain": _other(
        "speechbrain_layers:batch_norm",
        "speechbrain",
        "speechbrain.nnet.normalization.BatchNorm1d and 2d",
        "speechbrain",
    ),
    "speechbrain-combined": _other(
        "speechbrain_layers:combined",
        "speechbrain",
        "speechbrain.nnet.normalization.BatchNorm1d, combine_batch_time=True",
        "speechbrain",
    ),
    "torch-geometric": _other(
        "torch_geometric_layers:batch_norm",
        "torch_geometric torch",
        "torch_geometric.nn.BatchNorm, allow_single_element=True",
        "torch-geometric torch",
    ),
    "torch-geometric-hetero": _other(
        "torch_geometric_layers:OfOneType",
        "torch_geometric torch",
        "torch_geometric.nn.HeteroBatchNorm, of one type",
        "torch-geometric torch",
    ),
    "jax-stax": _other("jax_stax:StaxBatchNorm", "jax", "jax.example_libraries.stax.BatchNorm, training only", "jax"),
    "flax-nnx-two-pass": _other("flax_nnx:TwoPass", "flax", "flax.nnx.BatchNorm, use_fast_variance=False", "flax jax"),
    "flax-linen-two-pass": _other(
        "flax_linen:TwoPass", "flax", "flax.linen.BatchNorm, use_fast_variance=False", "flax jax"
    ),
    "flax-linen-axes": _other(
        "flax_axes:AxisTuple", "flax jax", "flax.linen.BatchNorm, its channels over two axes", "flax jax"
    ),
    "keras-torch": _other(
        "keras_torch:BatchNormalization", "keras torch", "Keras' BatchNormalization on torch", "keras torch"
    ),
    "keras-jax": _other("keras_jax:BatchNormalization", "keras jax", "Keras' BatchNormalization on JAX", "keras jax"),
    "keras-tensorflow": _other(
        "keras_tensorflow:BatchNormalization",
        "keras tensorflow",
        "Keras' BatchNormalization on TensorFlow",
        "keras tensorflow",
    ),
    "tensorflow-fused": _other(
        "tensorflow_ops:Fused", "tensorflow", "tf.raw_ops.FusedBatchNormV3, the fused kernel", "tensorflow"
    ),
    "tensorflow-xla": _other(
        "tensorflow_ops:Xla", "tensorflow", "tf.raw_ops.FusedBatchNormV3 compiled by XLA", "tensorflow"
    ),
    "tensorflow-moments": _other(
        "tensorflow_ops:Moments", "tensorflow", "tf.nn.moments with tf.nn.batch_normalization", "tensorflow"
    ),
    "tf-keras": _other(
        "tf_keras_layers:TfKerasBatchNorm", "tensorflow tf_keras", "tf_keras' BatchNormalization (Keras 2)", "tf-keras"
    ),
    "sonnet": _other(
        "sonnet_layers:SonnetBatchNorm", "sonnet tensorflow", "sonnet.BatchNorm (Sonnet 2)", "dm-sonnet tensorflow"
    ),
    "haiku": _other("haiku_layers:HaikuBatchNorm", "haiku jax", "haiku.BatchNorm", "dm-haiku jax"),
    "equinox": _other(
        "equinox_layers:EquinoxBatchNorm", "equinox jax", "equinox.nn.BatchNorm, mode='batch'", "equinox jax"
    ),
    "objax": _other("objax_layers:ObjaxBatchNorm", "objax jax", "objax.nn.BatchNorm", "objax", as_of="2023-12-01"),
    "paddle": _other(
        "paddle_layers:PaddleBatchNorm", "paddle", "paddle.nn.BatchNorm1D to 3D on the CPU", "paddlepaddle setuptools"
    ),
    "paddle-channels-last": _other(
        "paddle_layers:ChannelsLast",
        "paddle",
        "paddle.nn.BatchNorm1D to 3D, data_format='NHWC' and the like",
        "paddlepaddle setuptools",
    ),
    "brainstate": _other(
        "brainstate_layers:BrainstateBatchNorm", "brainstate jax", "brainstate.nn.BatchNorm0d to 3d", "brainstate"
    ),
    "brainpy": _other("brainpy_layers:BrainpyBatchNorm", "brainpy jax", "brainpy.dnn.BatchNorm1d to 3d", "brainpy"),
    "chainer": _other(
        "chainer_layers:ChainerBatchNorm",
        "chainer",
        "chainer.links.BatchNormalization",
        "chainer 'numpy<1.24'",
        as_of="2023-06-01",
    ),
    "mxnet": _other("mxnet_layers:MxnetBatchNorm", "mxnet", "mxnet.gluon.nn.BatchNorm", "mxnet 'numpy<1.24'"),
    "megengine": _other(
        "megengine_layers:MegengineBatchNorm",
        "megengine",
        "megengine.module.BatchNorm1d and 2d",
        "megengine 'numpy<1.24' 'setuptools<81'",
        python="3.10",
    ),
    "nnabla": _other(
        "nnabla_layers:NnablaBatchNorm",
        "nnabla",
        "nnabla.functions.batch_normalization",
        "nnabla 'numpy<2'",
        python="3.10",
    ),
    "aesara": _other(
        "aesara_ops:AesaraBatchNorm",
        "aesara",
        "Aesara's batch_normalization_train and _test, run by NumPy",
        "aesara 'setuptools<74'",
    ),
    "tvm": _other("tvm_layers:TvmBatchNorm", "tvm", "TVM's relax.op.nn.batch_norm, forward only", "apache-tvm"),
    "mnn": _other("mnn_layers:MnnBatchNorm", "MNN", "MNN.nn.batch_norm, forward only", "MNN"),
    "executorch": _other(
        "executorch_program:Executed",
        "executorch torch",
        "ExecuTorch's portable kernel, prediction only",
        "executorch torch",
    ),
    "litert": _other(
        "litert_engine:LiteRt",
        "ai_edge_litert tensorflow",
        "LiteRT (TensorFlow Lite), prediction only",
        "ai-edge-litert tensorflow",
    ),
    "ncnn": _other("ncnn_engine:NcnnBatchNorm", "ncnn", "ncnn's BatchNorm layer, prediction only", "ncnn"),
    "tract": _other("onnx_engines:Tract", "onnx tract", "tract, prediction only", "tract onnx"),
    "numpy-ml": _other(
        "numpy_ml_layers:NumpyMlBatchNorm", "numpy_ml", "numpy_ml's BatchNorm1D and 2D", "numpy-ml scipy"
    ),
    "neuralnetlib": _other(
        "neuralnetlib_layers:NeuralnetlibBatchNorm", "neuralnetlib", "neuralnetlib's BatchNormalization", "neuralnetlib"
    ),
    "minigrad": _other(
        "minigrad_layers:MinigradBatchNorm", "minigrad", "minigrad.nn.BatchNorm1D and 2D", "minigrad-framework"
    ),
    "mayini": _other("mayini_layers:MayiniBatchNorm", "mayini", "mayini.nn.BatchNorm1d", "mayini-framework"),
    "openvino": _other("onnx_engines:OpenVino", "onnx openvino", "OpenVINO, prediction only", "openvino onnx"),
    "opencv": _other(
        "onnx_engines:OpenCvDnn", "onnx cv2", "OpenCV's dnn module, prediction only", "opencv-python-headless onnx"
    ),
    "tensorflow-js": _node(
        "tensorflow.js cpu", "TensorFlow.js' layer, in plain JavaScript under Node", "@tensorflow/tfjs@4.22.0"
    ),
    "tensorflow-js-wasm": _node(
        "tensorflow.js wasm",
        "TensorFlow.js' layer, in WebAssembly under Node",
        "@tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0",
    ),
    **{
        f"onnxruntime-web-{opset}": _node(
            f"onnxruntime_web.js {opset}",
            f"ONNX Runtime in WebAssembly under Node, opset {opset}",
            "onnxruntime-web@1.30.0",
        )
        for opset in (9, 15)
    },
    "onednn": _one_dnn("plain", "x in C++ order"),
    "onednn-channels-last": _one_dnn("channels-last", "the channels last in memory"),
    "onednn-blocked": _one_dnn("blocked", "the channels in blocks of 16, as its convolutions give them"),
    "onednn-no-parameters": _one_dnn("plain no-parameters", "without scale and shift, which are the player's"),
    "dlib-con": _cpp("dlib.cpp con", "dlib's bn_con; its affine layer in prediction", "libdlib-dev", "-ldlib"),
    "dlib-fc": _cpp("dlib.cpp fc", "dlib's bn_fc; its affine layer in prediction", "libdlib-dev", "-ldlib"),
    "mlx": _other("mlx_layers:MlxBatchNorm", "mlx.core", "mlx.nn.BatchNorm on the CPU", "'mlx[cpu]'"),
    "tinygrad": _other(
        "tinygrad_layers:TinygradBatchNorm", "tinygrad", "tinygrad.nn.BatchNorm", "tinygrad", program="clang"
    ),
    **{
        f"onnxruntime-{opset}": _other(
            f"onnx_operator:Runtime{opset}",
            "onnx onnxruntime",
            f"ONNX Runtime, opset {opset}",
            "onnxruntime onnx",
        )
        for opset in ONNX_OPSETS
    },
    **{
        f"onnx-reference-{opset}": _other(
            f"onnx_operator:Reference{opset}", "onnx", f"onnx's reference evaluator, opset {opset}", "onnx"
        )
        for opset in ONNX_OPSETS
    },
}
