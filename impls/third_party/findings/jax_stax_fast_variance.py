# targets: jax-stax
# title: at mean/std 1e4 y is not of variance 1: jax.nn.standardize takes the fast variance
# documented: by a comment in the source of jax.nn.standardize, "traditionally seen as less accurate"; not by stax
import numpy as np
from jax.example_libraries import stax

x = np.random.default_rng(0).normal(1e4, 1.0, (1024, 1)).astype(np.float32)
_, batch_norm = stax.BatchNorm(axis=0)
beta, gamma = np.zeros(1, np.float32), np.ones(1, np.float32)
y = np.asarray(batch_norm((beta, gamma), x), np.float64)
assert not 0.99 < y.var() < 1.01
print(f"FINDING the variance of y is {y.var():.4g}, not 1")
