"""The transformations of JAX functions, linen modules and nnx modules; each is a function in jax_pure.py."""

from __future__ import annotations

from harness.targets.through.own_folds import own_folds
from harness.targets.through.transformation import SECOND, Transformation

DOCS = "https://docs.jax.dev/en/latest"
FLAX = "https://flax.readthedocs.io/en/latest"
LINEN = "https://flax-linen.readthedocs.io/en/latest"
OF_JAX = (
    ("jit", "jax.jit", f"{DOCS}/_autosummary/jax.jit.html"),
    ("nojit", "jax.disable_jit", f"{DOCS}/_autosummary/jax.disable_jit.html"),
    ("vmap", "two layers under jax.vmap", f"{DOCS}/_autosummary/jax.vmap.html"),
    ("vmap-axis-name", "jax.vmap with a named axis", f"{DOCS}/_autosummary/jax.vmap.html"),
    ("scan", "jax.lax.scan that carries the state", f"{DOCS}/_autosummary/jax.lax.scan.html"),
    ("remat", "jax.checkpoint under jit", f"{DOCS}/_autosummary/jax.checkpoint.html"),
    ("export", "jax.export to bytes and back", f"{DOCS}/export/export.html"),
    ("donate", "jax.jit with the state's buffers donated", f"{DOCS}/buffer_donation.html"),
    ("x32", "jax_enable_x64 off", f"{DOCS}/default_dtypes.html"),
)
ORDERS = (
    ("forward-over-reverse", "second derivatives by jvp of vjp", f"{DOCS}/_autosummary/jax.hessian.html"),
    ("reverse-over-forward", "second derivatives by vjp of jvp", f"{DOCS}/advanced-autodiff.html"),
    ("forward-over-forward", "second derivatives by jvp of jvp", f"{DOCS}/_autosummary/jax.jvp.html"),
)
NEEDS = {"export": ("flatbuffers",)}
FRAMEWORKS = ("jax", "linen", "nnx")

JAX = (
    *(
        Transformation(name, framework, what, source, needs=NEEDS.get(name, ()))
        for framework in FRAMEWORKS
        for name, what, source in OF_JAX
    ),
    *(
        Transformation(name, framework, what, source, (SECOND,), lacks="only second derivatives have an order")
        for framework in FRAMEWORKS
        for name, what, source in ORDERS
    ),
    *own_folds("jax", without=("fold-transposed-grouped",)),  # flax's transposed convolutions have no groups
    *own_folds("nnx", without=("fold-transposed-grouped",)),
    *(
        Transformation(f"nnx-{name}", "nnx", f"nnx.{name}, which moves the layer's variables", f"{FLAX}/{page}")
        for name, page in (
            ("jit", "guides/transforms.html"),
            ("remat", "api_reference/flax.nnx/transforms.html"),
            ("scan", "guides/transforms.html"),
            ("vmap", "guides/transforms.html"),
        )
    ),
    Transformation("split-merge", "nnx", "nnx.split and nnx.merge", f"{FLAX}/guides/split_merge.html"),
    Transformation(
        "mutable", "linen", "apply(mutable=...), eagerly", f"{LINEN}/guides/flax_fundamentals/state_params.html"
    ),
)
