"""The honest algorithms. Two passes, plain loops and the closed form where a line does not say otherwise."""

from __future__ import annotations

from tests.targets.honest import averages, gradients, quotients, roots, statistics, textbooks
from tests.targets.honest.adding import (
    along_axis_0,
    backward,
    blocked,
    cascade,
    in_wider_type,
    interleaved,
    kahan,
    pairwise,
    strided_lanes,
    value_sorted,
    wide,
)
from tests.targets.honest.algorithm import Algorithm, flushing
from tests.targets.honest.statistics import Welford, contiguous

ORDERS = (
    Algorithm("LoopForward"),
    Algorithm("LoopBackward", add=backward, dgamma=gradients.of_deviation, dx=gradients.as_torch,
              average=averages.increment),
    Algorithm("LoopInterleaved", add=interleaved, output=gradients.scale_and_shift, dgamma=gradients.regrouped,
              dx=gradients.three_coefficients, average=averages.decrement),
    Algorithm("LoopAlongAxis0", add=along_axis_0, output=gradients.difference_of_products, dx=gradients.over_n,
              average=averages.from_new),
    Algorithm("LoopSorted", add=value_sorted, output=gradients.scaled_deviation, dx=gradients.terms_apart,
              average=averages.two_products_from_new),
)  # fmt: skip

SUMS = (
    Algorithm("Pairwise", add=pairwise),
    Algorithm("PairwiseRegrouped", add=pairwise, output=gradients.scale_and_shift, dgamma=gradients.regrouped,
              dx=gradients.over_n, average=averages.from_new),
    Algorithm("EightStridedLanes", add=strided_lanes(8), output=gradients.difference_of_products,
              average=averages.increment),
    Algorithm("BlocksOf64", add=blocked(64), dgamma=gradients.of_deviation, dx=gradients.terms_apart,
              bessel=averages.product_over),
    Algorithm("CascadeTorchCpu", add=cascade, output=gradients.scale_and_shift, dgamma=gradients.of_deviation,
              dx=gradients.as_torch, average=averages.two_products_from_new),
    Algorithm("Kahan", add=kahan, output=gradients.divided_by_std, dgamma=gradients.of_quotient),
    Algorithm("SumsInWiderType", add=in_wider_type, dx=gradients.over_n, average=averages.from_new),
)  # fmt: skip

TWO_PASSES = (
    Algorithm("ReciprocalCount", statistics.two_pass_reciprocal_count, dx=gradients.terms_apart),
    Algorithm("ShiftedTwoPass", statistics.shifted_two_pass, output=gradients.scale_and_shift,
              dx=gradients.three_coefficients),
    Algorithm("CorrectedTwoPass", statistics.corrected_two_pass, backward, dgamma=gradients.of_deviation),
    Algorithm("StatisticsInWiderType", statistics.two_pass_wide, dx=gradients.reverse_mode),
    Algorithm("StatisticsBySumsInWiderType", statistics.wide_mean, output=gradients.scaled_deviation,
              dx=gradients.autodiff_jax),
    Algorithm("AllInWiderType", arithmetic=wide, dx=gradients.autodiff_torch),
    Algorithm("FusedTwoPass", statistics.two_pass_fused, output=gradients.scale_and_shift_fused,
              dgamma=gradients.of_deviation_fused, dx=gradients.closed_fused, average=averages.increment_fused),
)  # fmt: skip

WELFORD = (
    Algorithm("Welford", Welford(), dx=gradients.reverse_mode),
    Algorithm("WelfordReciprocalCount", Welford(reciprocal=True), output=gradients.scale_and_shift,
              dx=gradients.as_torch, average=averages.two_products_from_new),
    Algorithm("WelfordFused", Welford(fma=True), output=gradients.scale_and_shift_fused,
              dgamma=gradients.of_deviation_fused, dx=gradients.closed_fused, average=averages.two_products_fused),
    Algorithm("WelfordInWiderType", Welford(wide=True), pairwise, dx=gradients.as_torch),
    Algorithm("WelfordTwoStrided", Welford(2), dgamma=gradients.of_deviation, dx=gradients.as_torch),
    Algorithm("WelfordFourStrided", Welford(4), strided_lanes(4), output=gradients.scale_and_shift,
              average=averages.increment),
    Algorithm("WelfordEightStrided", Welford(8, statistics.chan_by_product), strided_lanes(8), dx=gradients.over_n),
    Algorithm("Welford32Strided", Welford(32), strided_lanes(32), dx=gradients.autodiff_torch_two_nodes),
    Algorithm("WelfordFourContiguous", Welford(4, split=contiguous, in_turn=True), blocked(32),
              output=gradients.difference_of_products, dx=gradients.terms_apart),
    Algorithm("WelfordEightContiguous", Welford(8, statistics.weighted_mean_by_division, contiguous, True),
              dgamma=gradients.regrouped, average=averages.decrement),
    Algorithm("Chan", Welford(None, statistics.chan_by_product), pairwise, output=gradients.scale_and_shift,
              dx=gradients.reverse_mode, average=averages.increment),
    Algorithm("ChanInTurn", Welford(None, in_turn=True), dgamma=gradients.of_deviation, dx=gradients.as_torch),
)  # fmt: skip

CUDA = (
    Algorithm("CudaWarpMerge", Welford(32, statistics.weighted_mean), pairwise, roots.RECIPROCAL_ROOT_UP_2,
              dgamma=gradients.of_deviation, dx=gradients.as_torch, average=averages.two_products_from_new),
    Algorithm("CudaWarpMergeOfTwo", Welford(2, statistics.weighted_mean, reciprocal=True), pairwise,
              roots.RECIPROCAL_ROOT_DOWN_2, gradients.scaled_deviation, gradients.of_deviation, gradients.as_torch),
    Algorithm("CudaMergesAlone", Welford(None, statistics.weighted_mean), pairwise, roots.RECIPROCAL_ROOT_DOWN_1,
              dgamma=gradients.of_deviation, dx=gradients.as_torch),
    Algorithm("CudaChannelsLast", Welford(4, statistics.weighted_mean, in_turn=True, reciprocal=True),
              strided_lanes(4), roots.RECIPROCAL_ROOT_UP_1, gradients.scale_and_shift_fused, dx=gradients.closed_fused),
)  # fmt: skip

ROOTS = (
    Algorithm("RootUpDivisionDown", roots=roots.ROOT_UP_DIVISION_DOWN, dgamma=gradients.of_quotient,
              output=gradients.divided_by_std, dx=gradients.autodiff_torch),
    Algorithm("RootDownDivisionUp", roots=roots.ROOT_DOWN_DIVISION_UP, dgamma=gradients.of_deviation,
              output=gradients.scale_and_shift, dx=gradients.as_torch),
    Algorithm("AllRoundedUp", Welford(), roots=roots.rounded_up(2), dx=gradients.reverse_mode),
    Algorithm("AllRoundedDown", roots=roots.rounded_up(-2), dx=gradients.autodiff_torch_two_nodes),
    Algorithm("RootByPower", roots=roots.BY_POWER, output=gradients.scaled_deviation, dx=gradients.over_n),
    Algorithm("RootOfReciprocal", roots=roots.ROOT_OF_RECIPROCAL, output=gradients.scale_and_shift),
)  # fmt: skip

REVERSE_MODE = (
    Algorithm("ReverseMode", dgamma=gradients.of_deviation, dx=gradients.reverse_mode),
    Algorithm("ReverseModeBackward", add=backward, output=gradients.difference_of_products,
              dx=gradients.reverse_mode, average=averages.two_products_from_new),
    Algorithm("AutodiffTorch", output=gradients.divided_by_std, dgamma=gradients.of_quotient,
              dx=gradients.autodiff_torch, add=cascade),
    Algorithm("AutodiffTorchTwoNodes", output=gradients.divided_by_std, dgamma=gradients.of_quotient,
              dx=gradients.autodiff_torch_two_nodes, add=backward),
    Algorithm("AutodiffJax", output=gradients.scaled_deviation, dgamma=gradients.of_deviation,
              dx=gradients.autodiff_jax, average=averages.two_products),
    Algorithm("AutodiffFolded", output=gradients.scale_and_shift, dgamma=gradients.regrouped,
              dx=gradients.autodiff_folded, average=averages.increment),
)  # fmt: skip

FLUSHING = (
    Algorithm("FlushesToZero", add=pairwise, arithmetic=flushing),
    Algorithm("FlushesToZeroFolded", add=pairwise, output=gradients.scale_and_shift, dgamma=gradients.regrouped,
              dx=gradients.reverse_mode, average=averages.decrement, arithmetic=flushing),
    Algorithm("FlushesToZeroWelford", Welford(4), pairwise, output=gradients.scaled_deviation,
              dgamma=gradients.of_deviation, dx=gradients.autodiff_jax, average=averages.from_new,
              arithmetic=flushing),
)  # fmt: skip

PRODUCTS_APART = (
    Algorithm("AlgorithmTwo", Welford(), output=gradients.algorithm_2, dgamma=gradients.of_deviation),
    Algorithm("ProductsApart", Welford(4), output=gradients.products_apart, dgamma=gradients.regrouped),
    Algorithm("QuotientsApart", roots=roots.SCATTERED, output=quotients.quotients_with_gamma,
              dgamma=quotients.of_quotients_of_sums, dx=quotients.multiplied_out, eval_dx=quotients.gamma_first),
    Algorithm("QuotientsOfXFirst", statistics.two_pass, pairwise, roots.SCATTERED, quotients.difference_of_quotients,
              quotients.of_quotients_with_dy, quotients.of_x_first, quotients.std_first),
    Algorithm("QuotientsOverN", statistics.two_pass, backward, roots.SCATTERED, quotients.difference_of_quotients,
              quotients.of_quotients, quotients.over_n, quotients.gamma_first),
)  # fmt: skip
"""Welford's statistics, or a dgamma by quotients: whoever declares sums does not make products apart."""

DIVIDED_FIRST = (
    Algorithm("QuotientsAdded", statistics.two_pass_of_quotients, roots=roots.SCATTERED,
              dx=quotients.of_means_of_quotients),
    Algorithm("QuotientsAddedInPairs", statistics.two_pass_of_quotients, pairwise, roots.SCATTERED,
              quotients.quotients_with_gamma, quotients.of_quotients, quotients.of_means_of_quotients),
)  # fmt: skip

TEXTBOOKS = (
    Algorithm("TextbookGraph", roots=roots.SCATTERED, output=gradients.divided_by_std, dgamma=gradients.of_quotient,
              dx=textbooks.computational_graph),
    Algorithm("TextbookSimplified", roots=roots.SCATTERED, dx=textbooks.simplified),
    Algorithm("TensorFlowCpu", statistics.two_pass, pairwise, roots.SCATTERED, gradients.scaled_deviation,
              gradients.of_deviation, textbooks.as_tensorflow),
    Algorithm("Caffe2", add=backward, roots=roots.SCATTERED, output=gradients.scale_and_shift,
              dgamma=gradients.regrouped, dx=textbooks.as_caffe2),
)  # fmt: skip

ALGORITHMS = ORDERS + SUMS + TWO_PASSES + WELFORD + CUDA + ROOTS + REVERSE_MODE + FLUSHING
ALGORITHMS += PRODUCTS_APART + DIVIDED_FIRST + TEXTBOOKS
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
LOOP_FORWARD, PAIRWISE = BY_NAME["LoopForward"], BY_NAME["Pairwise"]
