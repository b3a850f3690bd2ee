"""The known mistakes in forward mode and second derivatives. They are searched for apart from all others."""

from __future__ import annotations

from harness.diagnose.mistakes import derivatives
from harness.diagnose.mistakes.entry import Known

OF_DERIVATIVES: tuple[Known, ...] = (
    Known(
        "jvp_statistics_constant",
        "forward mode takes mean and variance for constants: both move with x in training",
        derivatives.JVP_STATISTICS,
    ),
    Known(
        "jvp_mean_constant",
        "forward mode takes the mean for a constant: subtract the mean of the tangent",
        derivatives.JVP_MEAN,
    ),
    Known(
        "jvp_var_constant",
        "forward mode takes the variance for a constant: subtract x_hat times the mean of tangent * x_hat",
        derivatives.JVP_VAR,
    ),
    Known(
        "jvp_parameters_ignored",
        "forward mode lacks the tangent of gamma or of beta: add tgamma * x_hat + tbeta",
        (*derivatives.JVP_PARAMETERS, derivatives.FrozenJvpWithoutParameters),
    ),
    Known(
        "double_statistics_constant",
        "the batch's statistics are constants when a derivative is differentiated again: they are functions of x",
        (*derivatives.DOUBLE_STATISTICS, derivatives.DoubleOfDetached),
    ),
    Known(
        "double_mean_constant",
        "dx2 lacks what flows through the means: subtract the mean of dy and of ddx from each",
        derivatives.DOUBLE_MEAN,
    ),
    Known(
        "double_var_constant",
        "the scale, or x_hat, is a constant when backward is differentiated: r and x_hat move with x",
        derivatives.DOUBLE_VAR,
    ),
    Known(
        "double_missing_term",
        "dx2 lacks one of its terms, or has 1 or 2 for the 3 of the term in x_hat",
        derivatives.DOUBLE_TERM,
    ),
    Known(
        "double_missing_dgamma2",
        "dgamma2 is 0, or lacks one of its two terms: dx depends on gamma",
        (*derivatives.MISSING_DGAMMA2, derivatives.FrozenNoDgamma2),
    ),
    Known(
        "double_missing_ddy",
        "ddy lacks a term: it is forward mode along (ddx, ddgamma, ddbeta)",
        (*derivatives.MISSING_DDY, derivatives.FrozenNoDdy),
    ),
    Known(
        "double_parameters_ignored",
        "second derivatives lack what flows through dgamma or dbeta: the directions of gamma and beta count too",
        (*derivatives.DOUBLE_PARAMETERS, derivatives.FrozenDoubleWithoutParameters, derivatives.FrozenNoDx2),
    ),
    Known(
        "derivative_eps_misplaced",
        "a derivative of the scale has eps in another place than the scale: r^3 is 1/(var + eps)^(3/2)",
        derivatives.EPS_MISPLACED,
    ),
    Known(
        "frozen_as_training",
        "prediction is differentiated by training's formula: its statistics are constants",
        (derivatives.PredictionByBatch, derivatives.FrozenFormula),
    ),
)
