"""timm.layers.BatchNormAct2d with its activation off."""

from timm.layers.norm_act import BatchNormAct2d


def batch_norm_act(num_features, eps=1e-5, momentum=0.1):
    return BatchNormAct2d(num_features, eps, momentum, apply_act=False)


batch_norm_act.conventions = "torch"  # type: ignore[attr-defined]
batch_norm_act.ranks = (4,)  # type: ignore[attr-defined]
batch_norm_act.dtypes = ("float64", "float32", "bfloat16", "float16")  # type: ignore[attr-defined]
