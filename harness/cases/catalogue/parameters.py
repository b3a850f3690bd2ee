"""Gamma, beta and moving statistics as nobody draws them at random: untouched, negative, zero."""

from __future__ import annotations

from harness.cases.case import Case, Parameters

PARAMETERS = (
    Case(
        "untouched_parameters",
        "a new layer: gamma and the moving variance are 1, beta and the moving mean 0",
        ("momentum_inverted", "stats_frozen"),
        source="no report; the one setting that every layer is first run with",
        parameters=Parameters(gamma=(1.0,), beta=(0.0,), moving_mean=(0.0,), moving_var=(1.0,)),
        quick=True,
    ),
    Case(
        "gamma_zero",
        "a gamma of zero is a number like others: recovering x_hat from y would divide by it",
        source="no report; layers that recompute x_hat from y to save memory",
        parameters=Parameters(gamma=(0.0, -1.25, 0.75, 1.5, -1.75)),
    ),
    Case(
        "negative_gamma",
        "every gamma is negative: a scale that must stay positive (|gamma|, exp(gamma)) shows",
        source="no report; layers that fuse an activation want gamma above zero",
        parameters=Parameters(gamma=(-1.25, -0.75, -1.5)),
    ),
)
