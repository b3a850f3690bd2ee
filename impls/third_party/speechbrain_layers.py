"""speechbrain's BatchNorm1d and 2d, whose channels come last, and the first with batch and time combined."""

from speechbrain.nnet.normalization import BatchNorm1d, BatchNorm2d

CONVENTIONS = {"preset": "torch", "channel_axis": -1}
DTYPES = ("float64", "float32", "bfloat16", "float16")


def batch_norm(num_features, ndim, eps=1e-5, momentum=0.1):
    layer = BatchNorm2d if ndim == 4 else BatchNorm1d
    return layer(input_size=num_features, eps=eps, momentum=momentum)


batch_norm.conventions = CONVENTIONS  # type: ignore[attr-defined]
batch_norm.ranks = (2, 3, 4)  # type: ignore[attr-defined]
batch_norm.dtypes = DTYPES  # type: ignore[attr-defined]


def combined(num_features, eps=1e-5, momentum=0.1):
    return BatchNorm1d(input_size=num_features, eps=eps, momentum=momentum, combine_batch_time=True)


combined.conventions = CONVENTIONS  # type: ignore[attr-defined]
combined.ranks = (3, 4)  # type: ignore[attr-defined]
combined.dtypes = DTYPES  # type: ignore[attr-defined]
