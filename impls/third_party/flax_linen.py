"""flax.linen.BatchNorm as it comes, and with the two-pass variance in place of its fast one."""

from flax.linen import BatchNorm

__all__ = ["BatchNorm", "TwoPass"]


class TwoPass(BatchNorm):
    conventions = "flax"
    dtypes = ("float64", "float32", "bfloat16", "float16")
    ranks = (2, 3, 4, 5)
    use_fast_variance: bool = False
