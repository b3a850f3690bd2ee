"""The targets that come with the project: where each is, what it needs, and the pip line that adds it."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import place
from harness.environments.requirements import Requirements
from harness.targets.device import CPU, on_device, split_device

if TYPE_CHECKING:
    from harness.environments.environments import Environment

EXEC = "exec:"
"""Before the command of a program that speaks the wire itself."""
OUR_ROOMS = ("reference.", "impls.pytorch.", "impls.jax_flax.")
COMPILED = "c++"
PLAYERS = place.ROOT / "impls" / "third_party" / "players"
SHARED_BY_BUILT = "wire.hpp"
JSON_FOR_CPP = "nlohmann-json3-dev"
BESIDE_ALL = ("numpy", "ml_dtypes")
"""What a player needs in any environment: NumPy, and for 16-bit floats ml_dtypes."""


@dataclass(frozen=True)
class BuiltIn:
    """A target that comes with the project, and what it needs."""

    where: str
    """module:attribute, the module as it is called in a checkout (`place.module` gives its full name); or exec:PROGRAM,
    a player's file in impls/third_party/players, and its arguments. With c++ for the program it is built first."""
    needs: str
    """The modules that must be importable, with spaces between them."""
    what: str
    install: str = ""
    """The command. The first package is the library that it is judged for."""
    program: str = ""
    """A program that must be on the PATH as well."""
    flags: str = ""
    """For the compiler of a player that is built: "-ldnnl"."""
    as_of: str = ""
    """An ISO date: it needs packages as they were then."""
    built_by: str = ""
    """The module of ours that builds what it needs beside that, and its command. It says whether that is done."""
    in_matrix_only: bool = False
    """Checked by `bnproof matrix`; `bnproof report` and `pytest harness` leave it out."""

    @property
    def is_program(self) -> bool:
        return self.where.startswith(EXEC)

    @property
    def words(self) -> list[str]:
        """Of a program: what runs it, its file, and its arguments."""
        return self.where.removeprefix(EXEC).split()

    @property
    def is_built(self) -> bool:
        """Whether it is a program that a compiler makes first."""
        return self.is_program and self.words[0] == COMPILED

    @property
    def packages(self) -> tuple[str, ...]:
        """What pip, npm or apt-get installs for it."""
        return tuple(shlex.split(self.install.partition(";")[0])[2:])

    @property
    def library(self) -> str:
        """Whose it is, as pip, npm or Debian names it: "flax", "@tensorflow/tfjs", "libdnnl-dev"."""
        if self.where.startswith(OUR_ROOMS) or not self.packages:
            return "bnproof"
        return re.split(r"[\[<>=!~ ]|(?<=.)@", self.packages[0], maxsplit=1)[0]

    @property
    def requirements(self) -> Requirements:
        """What an environment of its own must hold for it."""
        programs = tuple(self.program.split())
        if self.is_built:
            sources = tuple(str(PLAYERS / file) for file in (self.words[1], SHARED_BY_BUILT))
            return Requirements(debian=self.packages, sources=sources, flags=tuple(self.flags.split()))
        if self.is_program:
            return Requirements(npm=self.packages, programs=programs)
        return Requirements(pip=(*self.packages, *BESIDE_ALL), programs=programs, uploaded_before=self.as_of)


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


def _other(where: str, needs: str, what: str, install: str, program: str = "", as_of: str = "") -> BuiltIn:
    where, install = f"impls.third_party.{where}", f"pip install {install}"
    return BuiltIn(where, needs, what, install, program=program, as_of=as_of, in_matrix_only=True)


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
    "torch-compiled": _other("torch_layers:compiled", "torch", "torch.compile of torch.nn.BatchNorm2d", "torch", "g++"),
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
    "aesara": _other(
        "aesara_ops:AesaraBatchNorm",
        "aesara",
        "Aesara's batch_normalization_train and _test, run by NumPy",
        "aesara 'setuptools<74'",
    ),
    "tvm": _other("tvm_layers:TvmBatchNorm", "tvm", "TVM's relax.op.nn.batch_norm, forward only", "apache-tvm"),
    "mnn": _other("mnn_layers:MnnBatchNorm", "MNN", "MNN.nn.batch_norm, forward only", "MNN"),
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
    "tinygrad": _other("tinygrad_layers:TinygradBatchNorm", "tinygrad", "tinygrad.nn.BatchNorm", "tinygrad", "clang"),
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

BUILT_IN = OURS | OTHERS

GPU_LIBRARIES = {"torch", "torchvision", "timm", "jax", "flax", "keras", "paddle"}
CPU_ONLY = {"torch-mkldnn", "torch-cpp"}


def built_in(name: str) -> BuiltIn:
    """The built-in target of this name, which may end in @DEVICE."""
    return BUILT_IN[split_device(name)[0]]


def computing_on(device: str) -> tuple[str, ...]:
    """The names of the built-in targets that can compute on a device, each with it: ("torch@cuda", ...)."""
    if device == CPU:
        return tuple(BUILT_IN)
    return tuple(
        on_device(name, device)
        for name, target in BUILT_IN.items()
        if GPU_LIBRARIES & {*target.needs.split()} and name not in CPU_ONLY
    )


OWN = ("numpy", "torch", "jax", "flax")
"""Our own implementations, which must agree in every case."""


def location(name: str) -> str:
    """The "module:attribute" of the built-in target `name`, to be imported, or the "exec:..." to be run.

    A program that must be built is built. Raises NotInstallableError where it cannot be.
    """
    built_in = BUILT_IN[name]
    if not built_in.is_program:
        return place.module(built_in.where)
    program, file, *arguments = built_in.words
    words = [program, str(PLAYERS / file), *arguments]
    if built_in.is_built:
        from harness.environments.environments import make  # not in a player's process, whose Python may be older

        words = [str(make(built_in.requirements).program), *arguments]
    return EXEC + shlex.join(words)


def is_installed(name: str, among: Mapping[str, BuiltIn] = BUILT_IN) -> bool:
    """Whether what the target `name` needs is there. Nothing that takes long is imported to find out.

    A program that must be built is there once it has been.
    """
    built_in = among[name]
    if any(shutil.which(program) is None for program in built_in.program.split()):
        return False
    if built_in.is_program:
        return environment_of(name) is not None
    if not all(_is_importable(module) for module in built_in.needs.split()):
        return False
    return not built_in.built_by or importlib.import_module(place.module(built_in.built_by)).is_built()


def environment_of(name: str) -> Environment | None:
    """Where npm installed or a compiler built what a built-in program needs, if it has."""
    from harness.environments.environments import find  # as above

    return find(BUILT_IN[name].requirements)


def variables(name: str) -> dict[str, str]:
    """Environment variables for a built-in program: where Node finds what npm installed for it."""
    environment = environment_of(name)
    is_for_node = BUILT_IN[name].requirements.npm
    return {"NODE_PATH": str(environment.folder / "node_modules")} if environment and is_for_node else {}


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False
