"""The transformations by our own `fold`, in every framework that has it."""

from __future__ import annotations

from harness.targets.through.transformation import GRADIENTS, PREDICTION, Transformation

NO_PARAMETERS = "a fold is for prediction, and has no gamma or beta left"
SOURCE = "https://arxiv.org/abs/1712.05877"
"""Jacob et al. 2018, section 3.2."""
OWN_FOLDS = {
    "fold": "our own `fold`, into a convolution of all channels",
    "fold-grouped": "our own `fold`, into a convolution in groups of channels",
    "fold-transposed": "our own `fold`, into a transposed convolution",
    "fold-transposed-grouped": "our own `fold`, into a transposed one in groups",
    "fold-dense": "our own `fold`, into a dense layer",
}


def own_folds(framework: str, *, without: tuple[str, ...] = ()) -> tuple[Transformation, ...]:
    return tuple(
        Transformation(name, framework, what, SOURCE, (PREDICTION, GRADIENTS), lacks=NO_PARAMETERS)
        for name, what in OWN_FOLDS.items()
        if name not in without
    )
