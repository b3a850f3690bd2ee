"""The transformations of our NumPy layer (numpy_folds.py), of Keras layers (functions in keras_layer.py and
keras_folds.py) and of TensorFlow's functions (tensorflow_folds.py)."""

from __future__ import annotations

from harness.targets.through.own_folds import own_folds
from harness.targets.through.transformation import PREDICTION, Transformation

DOCS = "https://keras.io"
NO_BACKWARD = "predict has no training step and no backward"

KERAS_FOLDS = {
    "fuse-conv": "after a convolution of all channels",
    "fuse-grouped": "after a convolution in groups of channels",
    "fuse-transposed": "after a transposed convolution",
    "fuse-depthwise": "after a depthwise convolution",
    "fuse-dense": "after a dense layer",
}
FOLDED_BY = (
    (
        "litert",
        "TensorFlow's converter to LiteRT",
        "https://ai.google.dev/edge/litert/models/convert_tf",
        ("tensorflow", "ai_edge_litert"),
    ),
    (
        "grappler",
        "TensorFlow's graph optimizer",
        "https://www.tensorflow.org/guide/graph_optimization",
        ("tensorflow",),
    ),
)
"""What comes after the name of a fold, who that is, where it is described, the modules that it needs."""


def folded_by(framework: str, folds: tuple[str, ...]) -> tuple[Transformation, ...]:
    return tuple(
        Transformation(
            f"{fold}-{by}",
            framework,
            f"{KERAS_FOLDS[fold]}, folded by {whose}",
            source,
            (PREDICTION,),
            needs,
            lacks="a fold is for prediction, and the folded model has no backward",
        )
        for by, whose, source, needs in FOLDED_BY
        for fold in folds
    )


NUMPY = own_folds("numpy")
KERAS = (
    Transformation("save-load", "keras", "a .keras file, saved and loaded", f"{DOCS}/guides/serialization_and_saving/"),
    Transformation("from-config", "keras", "get_config, from_config and the weights", f"{DOCS}/api/layers/base_layer/"),
    Transformation(
        "mixed-precision", "keras", "built again under mixed_bfloat16", f"{DOCS}/api/mixed_precision/policy/"
    ),
    Transformation(
        "jit", "keras", "Model.predict with jit_compile", f"{DOCS}/api/models/model/", (PREDICTION,), lacks=NO_BACKWARD
    ),
    Transformation(
        "nojit", "keras", "Model.predict without it", f"{DOCS}/api/models/model/", (PREDICTION,), lacks=NO_BACKWARD
    ),
    *(
        Transformation(
            name,
            "keras",
            what,
            f"{DOCS}/api/models/model_saving_apis/export/",
            (PREDICTION,),
            (module,),
            lacks="an exported model predicts alone",
        )
        for name, what, module in (
            ("export", "Model.export, served by TensorFlow", "tensorflow"),
            ("export-torch", "Model.export to torch.export's program", "torch"),
            ("export-onnx", "Model.export, run in ONNX Runtime", "onnxruntime"),
            ("export-litert", "Model.export, run in LiteRT", "ai_edge_litert"),
        )
    ),
    *folded_by("keras", tuple(KERAS_FOLDS)),
)
TENSORFLOW = folded_by("tensorflow", ("fuse-conv",))
