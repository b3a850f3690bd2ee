"""The transformations of ONNX Runtime: each optimizer level, on the operator alone and after what it is folded into."""

from __future__ import annotations

from harness.targets.through.transformation import PREDICTION, STATISTICS, TRAINING, Transformation

DOCS = "https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html"
LEVELS = {
    "unoptimized": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all-optimizations": "ORT_ENABLE_ALL",
}
FOLD_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""What comes after the name of a fold."""
FOLDS = {
    "fuse-conv": "after a convolution of all channels",
    "fuse-grouped": "after a convolution in groups of channels",
    "fuse-transposed": "after a transposed convolution",
    "fuse-transposed-grouped": "after a transposed convolution in groups",
    "fuse-dense": "after a product of matrices",
}
NO_BACKWARD = "ONNX has no backward"

ONNX_RUNTIME = (
    *(
        Transformation(
            name,
            "onnxruntime",
            f"the optimizer level {level}",
            DOCS,
            (TRAINING, PREDICTION, STATISTICS),
            lacks=NO_BACKWARD,
        )
        for name, level in LEVELS.items()
    ),
    *(
        Transformation(
            f"{fold}-{name}",
            "onnxruntime",
            f"{where}, the optimizer level {level}",
            DOCS,
            (PREDICTION,),
            lacks="a fold is for prediction, and ONNX has no backward",
        )
        for fold, where in FOLDS.items()
        for name, level in FOLD_LEVELS.items()
    ),
)
