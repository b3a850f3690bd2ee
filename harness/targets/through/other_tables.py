"""The transformations of our NumPy layer (numpy_folds.py) and of Keras layers (functions in keras_layer.py)."""

from __future__ import annotations

from harness.targets.through.own_folds import own_folds
from harness.targets.through.transformation import PREDICTION, Transformation

DOCS = "https://keras.io"
NO_BACKWARD = "predict has no training step and no backward"

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
)
