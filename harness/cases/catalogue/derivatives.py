"""Forward mode and second derivatives: what a gradient penalty, a Hessian or a Jacobian-vector product asks for.

Each case is one operation on a fresh layer: whether it moves the moving statistics is judged nowhere, and a target
that lacks the operation loses nothing else. Forward mode is not in the quick suite: PyTorch loads its compiler for it,
which takes seconds.
"""

from __future__ import annotations

from typing import Any

from harness.cases.case import Case
from harness.cases.catalogue.sixteen_bits import DTYPES as SIXTEEN_BITS
from harness.cases.data import gaussian, leaning_gradient, with_constant_channel

OF_JVP = ("jvp_statistics_constant", "jvp_mean_constant", "jvp_var_constant", "jvp_parameters_ignored")
OF_DOUBLE = (
    "double_statistics_constant",
    "double_mean_constant",
    "double_var_constant",
    "double_missing_term",
    "double_missing_dgamma2",
    "double_missing_ddy",
    "double_parameters_ignored",
)
IN_SIXTEEN_BITS: dict[str, Any] = {"shape": (2, 5, 2, 2), "eps": 1.0, "dtypes": SIXTEEN_BITS}
"""Few values and a large eps: with others the bounds of a layer that works in bfloat16, by which it is recognised, hold
variances near 0, and everything else."""

DERIVATIVES = (
    Case(
        "jvp",
        "forward mode in training: mean and variance move with x",
        OF_JVP,
        source="no report; Gauss-Newton methods and NTK libraries take Jacobian-vector products through batch norm",
        script=("train_jvp",),
    ),
    Case(
        "jvp_rank2",
        "forward mode at rank 2",
        OF_JVP,
        source="no report; rows and images may have kernels of their own",
        shape=(24, 5),
        script=("train_jvp",),
    ),
    Case(
        "jvp_rank5",
        "forward mode at rank 5",
        OF_JVP,
        source="no report; volumes may have kernels of their own",
        shape=(3, 4, 2, 3, 2),
        script=("train_jvp",),
    ),
    Case(
        "jvp_large_mean",
        "forward mode where the mean is 1,000 standard deviations, and along a tangent that leans towards x",
        OF_JVP,
        source="no report; the tangent of the variance is a sum that cancels",
        data=gaussian(1e3),
        direction=leaning_gradient,
        script=("train_jvp",),
    ),
    Case(
        "jvp_small_variance",
        "forward mode beside a variance of the size of eps: the tangent of the root has its own place for eps",
        (*OF_JVP, "derivative_eps_misplaced"),
        source="no report; what small_variance is for y, for forward mode",
        data=gaussian(0.5, 0.003),
        script=("train_jvp",),
    ),
    Case(
        "jvp_frozen",
        "forward mode in prediction, where mean and variance stay",
        ("frozen_as_training", "jvp_parameters_ignored"),
        source="no report; frozen layers in fine-tuning",
        script=("eval_jvp",),
    ),
    Case(
        "double",
        "the gradient of a gradient in training, by x, dy and gamma: what a gradient penalty needs",
        OF_DOUBLE,
        ("second_derivative_wrong",),
        script=("train_double",),
        quick=True,
    ),
    Case(
        "double_rank2",
        "second derivatives at rank 2, with few values a channel",
        OF_DOUBLE,
        ("second_derivative_wrong",),
        shape=(8, 3),
        script=("train_double",),
    ),
    Case(
        "double_rank3",
        "second derivatives at rank 3",
        OF_DOUBLE,
        ("second_derivative_wrong",),
        shape=(8, 5, 3),
        script=("train_double",),
    ),
    Case(
        "double_rank5",
        "second derivatives at rank 5",
        OF_DOUBLE,
        ("second_derivative_wrong",),
        shape=(3, 4, 2, 3, 2),
        script=("train_double",),
    ),
    Case(
        "double_large_mean",
        "second derivatives where the mean is 100 standard deviations: x - mean, and not x, in every sum",
        OF_DOUBLE,
        ("second_derivative_wrong",),
        data=gaussian(1e2),
        script=("train_double",),
    ),
    Case(
        "double_small_variance",
        "second derivatives beside a variance of the size of eps: r^3 and r^5 each hold eps",
        (*OF_DOUBLE, "derivative_eps_misplaced"),
        ("second_derivative_wrong",),
        data=gaussian(0.5, 0.003),
        script=("train_double",),
        quick=True,
    ),
    Case(
        "double_constant_channel",
        "a channel that holds one number: x_hat is 0, and what is left of the second derivatives is exact",
        ("double_mean_constant",),
        source="no report; what constant_channel is for y: 0/0 in the derivative of a square root",
        data=with_constant_channel(3.0),
        eps=0.1,
        script=("train_double",),
    ),
    Case(
        "double_two_values",
        "two values a channel and an eps of 1: with a small eps x_hat is 1 and -1, and all second derivatives vanish",
        OF_DOUBLE,
        ("second_derivative_wrong",),
        shape=(2, 5),
        eps=1.0,
        script=("train_double",),
    ),
    Case(
        "double_frozen",
        "second derivatives in prediction: y is linear in x, so that dx2 flows through dgamma alone",
        ("frozen_as_training", "double_missing_dgamma2", "double_missing_ddy", "double_parameters_ignored"),
        ("second_derivative_wrong",),
        script=("eval_double",),
        quick=True,
    ),
    Case(
        "double_frozen_rank2",
        "the same at rank 2",
        ("frozen_as_training", "double_missing_dgamma2", "double_missing_ddy", "double_parameters_ignored"),
        ("second_derivative_wrong",),
        shape=(24, 5),
        script=("eval_double",),
    ),
    Case(
        "jvp_sixteen_bits",
        "forward mode of 16-bit input: statistics and sums in float32, and a tangent of y's own type",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits",),
        **IN_SIXTEEN_BITS,
        script=("train_jvp",),
    ),
    Case(
        "jvp_frozen_sixteen_bits",
        "the same in prediction",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits",),
        **IN_SIXTEEN_BITS,
        script=("eval_jvp",),
    ),
    Case(
        "double_sixteen_bits",
        "second derivatives of 16-bit input: nothing between the first gradient and the second is in 16 bits",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits", "second_derivative_wrong"),
        **IN_SIXTEEN_BITS,
        script=("train_double",),
    ),
    Case(
        "double_frozen_sixteen_bits",
        "the same in prediction, where dgamma2 is the one sum",
        ("low_precision_stats",),
        ("statistics_in_sixteen_bits", "second_derivative_wrong"),
        **IN_SIXTEEN_BITS,
        script=("eval_double",),
    ),
)
