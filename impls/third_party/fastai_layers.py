"""fastai.layers.BatchNorm1dFlat, which flattens all but the channels, the last axis."""

from fastai.layers import BatchNorm1dFlat


def flat(num_features, eps=1e-5, momentum=0.1):
    return BatchNorm1dFlat(num_features, eps, momentum)


flat.conventions = {"preset": "torch", "channel_axis": -1}  # type: ignore[attr-defined]
flat.ranks = (2, 3, 4, 5)  # type: ignore[attr-defined]
flat.dtypes = ("float64", "float32", "bfloat16", "float16")  # type: ignore[attr-defined]
