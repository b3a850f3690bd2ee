"""How batch norms have gone wrong: faults and differences that were reported of real implementations.

A case sets a trap, or the trap says why none does. The reports that are cited may have been settled since.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.cases.case import Case


@dataclass(frozen=True)
class Trap:
    """One way to go wrong. Exactly one of `cases`, `judged_by` and `unreachable` is given."""

    id: str
    sentence: str
    """What goes wrong."""
    sources: tuple[str, ...]
    """Where it was seen: repositories on GitHub with the number of an issue or pull request, or addresses."""
    cases: tuple[str, ...] = ()
    """Ids of the cases in which it shows."""
    judged_by: str = ""
    """The command that judges it, where any case shows it once the layer is played in another way."""
    unreachable: str = ""
    """Why no case can show it."""


TRAPS: tuple[Trap, ...] = (
    # --- moving statistics ---
    Trap(
        "momentum_inverted_reading",
        "Momentum is read the wrong way round: the weight of the old value is taken for the weight of the new one.",
        ("pytorch/examples#289", "ludwig#2100", "transformers#19454"),
        cases=("decimal_momentum",),
    ),
    Trap(
        "momentum_of_another_framework",
        "The formula reads momentum one way, the number was chosen for the other: it keeps 0.1 where 0.9 is meant.",
        ("d2l-en#2213",),
        cases=("tiny_momentum",),
    ),
    Trap(
        "momentum_extreme",
        "A momentum of 0 or 1 is taken for a missing one, or freezes the moving statistics of a port.",
        ("Cadene/pretrained-models#5",),
        cases=("momentum_zero", "momentum_one"),
    ),
    Trap(
        "defaults_differ",
        "Defaults differ between frameworks: the new batch weighs 0.1 or 0.01, and eps is 1e-5, 2e-5 or 1e-3.",
        (
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html",
            "https://keras.io/api/layers/normalization_layers/batch_normalization/",
            "https://onnx.ai/onnx/operators/onnx__BatchNormalization.html",
        ),
        cases=("tiny_momentum", "large_eps"),
    ),
    Trap(
        "bessel_in_moving_variance",
        "The moving variance is averaged with Bessel's correction in one framework and without it in another.",
        ("pytorch#3122", "pytorch#19902", "pytorch#60528", "pytorch#106366", "mlx#3817", "tinygrad#807"),
        cases=("two_values",),
    ),
    Trap(
        "bessel_overflows_in_half",
        "Bessel's factor is computed in half precision, where a count above 65,504 overflows and the factor is NaN.",
        ("tensorflow#30230",),
        cases=("values_65536",),
    ),
    Trap(
        "stats_never_updated",
        "The moving statistics never leave their initial values, so that prediction is not normalized at all.",
        ("mlx#1960",),
        cases=("five_steps",),
    ),
    Trap(
        "stats_overwritten_too_early",
        "The moving statistics are updated before the step has read them, or share a buffer with another layer.",
        ("tt-metal#45578",),
        cases=("rank4", "two_layers"),
    ),
    Trap(
        "stats_updated_by_recomputation",
        "Activation checkpointing runs the forward pass again and moves the statistics a second time.",
        ("pytorch#96136",),
        cases=("five_steps",),
    ),
    Trap(
        "tracking_toggled",
        "Tracking of statistics is toggled halfway, and prediction uses stale statistics or those of the batch.",
        ("pytorch#20967", "pytorch#37823", "pytorch#156051"),
        cases=("eval_between", "two_predictions_first", "no_statistics"),
    ),
    Trap(
        "cumulative_average_compiled",
        "A cumulative average (torch's momentum=None) goes wrong, also under compilation or export.",
        ("pytorch#194579", "pytorch#18525"),
        cases=("cumulative_average", "cumulative_restored"),
    ),
    Trap(
        "first_batch_or_debias",
        "The first batch replaces the moving statistics, or they are divided by 1 - momentum^t, unexpectedly.",
        ("flax#1360", "equinox#659"),
        cases=("five_steps", "twenty_steps"),
    ),
    Trap(
        "zero_initial_variance",
        "The moving variance starts from 0, or debiasing divides by 0 before any update, and prediction blows up.",
        ("equinox#955", "equinox#1010"),
        cases=("zero_moving_var",),
    ),
    Trap(
        "non_finite_values_stay",
        "One NaN or infinity in one batch spoils the moving statistics for good, or reaches other channels.",
        ("pytorch#90342",),
        cases=("nan_in_one_channel", "inf_in_one_channel", "restart_after_nan"),
    ),
    Trap(
        "stats_of_wrong_size",
        "Moving statistics of the wrong size are read out of bounds instead of being refused.",
        ("pytorch#169208",),
        unreachable="the contract's setup always has statistics of the right size",
    ),
    # --- mode and state ---
    Trap(
        "mode_from_gradient_flag",
        "Training or prediction is read from whether gradients are enabled instead of from the layer's own mode.",
        ("https://d2l.ai/chapter_convolutional-modern/batch-norm.html",),
        cases=("gradients_off",),
    ),
    Trap(
        "frozen_layer_trains",
        "A frozen layer moves its statistics or normalizes by the batch, or is thawed by the model's next `train()`.",
        ("keras#7085", "keras#6570", "pytorch#66073", "pgniewko/gt-pyg#112"),
        cases=("frozen", "frozen_only", "frozen_stays"),
    ),
    Trap(
        "stats_not_saved",
        "The moving statistics are not part of the saved state, so that a restored model predicts with initial ones.",
        ("d2l-zh#1265",),
        cases=("save_and_restore", "restore_small_variance"),
    ),
    Trap(
        "counter_not_restored",
        "The batch counter is missing or wrong after loading, so that the average goes on from another step.",
        ("oneflow#7440", "apex#380"),
        cases=("save_and_restore", "load_into_used", "cumulative_restored"),
    ),
    Trap(
        "exported_in_wrong_mode",
        "A model is exported in training mode, and the exported one normalizes each batch by its own statistics.",
        ("pytorch#75252", "onnxscript#1289"),
        cases=("eval_between",),
    ),
    Trap(
        "input_modified",
        "The layer writes into its input, which the caller or the backward pass still needs.",
        ("FlagGems#6435",),
        cases=("read_only_input",),
    ),
    # --- eps ---
    Trap(
        "eps_misplaced",
        "Eps is added outside the square root, replaced by max(var, eps), left out, or kept in the moving variance.",
        ("ncnn#311", "darknet#17", "Flux#633", "nntrainer#677"),
        cases=(
            "small_variance",
            "large_eps",
            "unusual_eps",
            "tiny_eps",
            "eps_one",
            "tiny_variance",
            "small_variance_1024",
            "small_variance_rank3",
            "small_variance_rank5",
            "large_mean_1e2_eps",
            "large_mean_1e4_eps",
            "far_mean_large_eps",
            "float16_far_mean_eps",
        ),
    ),
    Trap(
        "eps_floor",
        "A vendor's library refuses or silently raises an eps that is below its own minimum.",
        ("tensorflow#8090",),
        cases=("tiny_eps",),
    ),
    Trap(
        "eps_rounded_to_float",
        "Eps is kept in single precision: 1e-5 as a float is less than 1e-5 as a double.",
        ("onnx#1820",),
        cases=("small_variance",),
    ),
    Trap(
        "tail_or_block_lost",
        "A sum that is split over blocks or threads loses the tail or a block, which small batches do not have.",
        ("ROCm/rocm-libraries#9030",),
        cases=(
            "exact_1024",
            "exact_4096",
            "values_1025",
            "values_1537",
            "values_4095",
            "values_65536",
            "values_65537",
            "values_401408",
        ),
    ),
    Trap(
        "wrong_power_of_variance",
        "The deviation is multiplied by another power of var + eps than -1/2: by its square, or without the root.",
        ("jax#442",),
        cases=("rank4",),
    ),
    # --- rounding, overflow ---
    Trap(
        "fast_variance_cancels",
        "E[x^2] - E[x]^2 cancels where the mean is large: the variance loses its digits, turns negative, gives NaN.",
        ("flax#1491", "tensorflow#3290", "equinox#314", "tt-metal#45968"),
        cases=(
            "large_mean_1e2",
            "large_mean_1e4",
            "large_mean_1e6",
            "far_mean_pair",
            "far_mean_y",
            "sixteen_bits_far_mean",
        ),
    ),
    Trap(
        "scale_and_shift_cancels",
        "Prediction as x * scale + shift cancels where the moving mean is large beside the deviation.",
        ("tensorflow#117318",),
        cases=("large_moving_mean",),
    ),
    Trap(
        "constant_channel_not_beta",
        "A channel that holds one number everywhere does not come out as beta: rounding is divided by sqrt(eps).",
        ("caffe#3963", "pytorch#5410"),
        cases=("constant_channel", "constant_inexact"),
    ),
    Trap(
        "squares_overflow",
        "Squares of large values overflow, or those of small ones underflow, although the variance's root would fit.",
        ("pytorch#178123",),
        cases=("near_overflow", "near_underflow", "float16_large_deviations"),
    ),
    Trap(
        "statistics_in_sixteen_bits",
        "Statistics of 16-bit input are accumulated in 16 bits, where long sums stall, or the mean is rounded to them.",
        ("pytorch#70901", "pytorch#126525", "pytorch#195701"),
        cases=(
            "thousand_values",
            "sixteen_bits",
            "sixteen_bits_large_mean",
            "float16_large_deviations",
            "sixteen_bits_far_mean",
            "sixteen_bits_thousand",
            "jvp_sixteen_bits",
            "jvp_frozen_sixteen_bits",
            "double_sixteen_bits",
            "double_frozen_sixteen_bits",
        ),
    ),
    # --- gradients ---
    Trap(
        "eval_gradient_of_training",
        "In prediction mode the backward pass uses the training formula, as if the statistics depended on the batch.",
        ("pytorch#586", "mxnet#18209", "Flux#2179"),
        cases=("eval_between",),
    ),
    Trap(
        "gamma_gradient_wrong",
        "Gamma's gradient is reduced over the wrong values or rounded too early.",
        ("pytorch#57796", "tensorflow#107705", "MIOpen#1109"),
        cases=("rank4",),
    ),
    Trap(
        "second_derivative_wrong",
        "The gradient of the gradient is missing or wrong.",
        ("pytorch#4422", "pytorch#196699"),
        cases=(
            "double",
            "double_rank2",
            "double_rank3",
            "double_rank5",
            "double_large_mean",
            "double_small_variance",
            "double_two_values",
            "double_frozen",
            "double_frozen_rank2",
            "double_sixteen_bits",
            "double_frozen_sixteen_bits",
        ),
    ),
    # --- shapes and memory ---
    Trap(
        "axes_mixed_up",
        "The statistics are taken over the wrong axes, or the gradient of channels-last input comes in another layout.",
        ("jax#461", "Paddle#54703", "pytorch#107199"),
        cases=("rank3", "rank4", "rank5", "all_axes_equal", "one_channel", "one_feature", "many_channels"),
    ),
    Trap(
        "single_value_per_channel",
        "One value per channel is an error in one framework, NaN in another, and silently beta in a third.",
        ("pytorch#1381", "Flux#1992", "tensorflow#34062"),
        cases=(
            "one_image",
            "one_value",
            "one_value_image",
            "one_pixel",
            "predict_one_sample",
            "predict_one_pixel",
        ),
    ),
    Trap(
        "empty_batch",
        "A batch without samples raises, or turns the moving statistics to NaN.",
        ("pytorch#12013", "sonnet#125"),
        cases=("empty_batch",),
    ),
    Trap(
        "strides_ignored",
        "Input that is sliced or transposed in memory is read as if it were contiguous.",
        ("pytorch#84962", "pytorch#133520"),
        cases=(
            "sliced_input",
            "transposed_input",
            "moved_channels",
            "offset_input",
            "reversed_input",
            "broadcast_gradient",
        ),
    ),
    Trap(
        "mask_ignored",
        "A mask of valid values is ignored, or counts the wrong ones.",
        ("keras#18759", "keras#19848"),
        cases=(
            "mask",
            "mask_sequences",
            "mask_rank2",
            "mask_broadcasts",
            "mask_and_none",
            "mask_one_left",
            "mask_nothing_left",
        ),
    ),
    # --- one framework, several answers ---
    Trap(
        "backends_disagree",
        "One framework gives two answers: fused or not, on a CPU or by a vendor's library, in one backend or another.",
        ("tensorflow#55545", "mxnet#14357", "mxnet#18751"),
        judged_by="bnproof check ONE --same-as OTHER --training; bnproof check NAME@cpu NAME@cuda",
    ),
    Trap(
        "compiled_differs",
        "Compilation replaces the vendor's kernel, and with it the numerics.",
        ("pytorch#187444",),
        judged_by="bnproof check NAME --through compile",
    ),
    Trap(
        "vmap_with_tracking",
        "A vectorizing transformation fails on, or mixes up, statistics that are updated in place.",
        ("functorch#384",),
        judged_by="bnproof check NAME --through vmap",
    ),
    Trap(
        "settings_swapped_on_move",
        "Moving a layer to another device swaps eps and momentum.",
        ("Flux#216",),
        judged_by="bnproof check NAME@cuda",
    ),
    Trap(
        "folding_loses_a_term",
        "Folding the layer into a convolution before it loses a term of the bias.",
        ("pytorch#45474", "pytorch#71259"),
        judged_by="bnproof check NAME --through fuse",
    ),
    # --- synchronized over processes ---
    Trap(
        "sync_uneven_shards",
        "Over shards of unequal size the variance is a mean of variances, or the gradient weighs them alike.",
        ("pytorch#22192", "pytorch#36382", "apex#387", "flax#2417"),
        judged_by="bnproof check NAME --replicas 3 --shards uneven",
    ),
    Trap(
        "sync_backward_layout",
        "The synchronized backward pass reads channels-first input as channels-last, or reduces twice.",
        ("pytorch#64039", "pytorch#64100"),
        judged_by="bnproof check NAME --replicas 2",
    ),
)

BY_ID = {trap.id: trap for trap in TRAPS}


def source_of(case: Case) -> str:
    """What a case goes back to, in one line: the sources of its traps, else its own."""
    sources = [source for trap in case.traps for source in BY_ID[trap].sources]
    return ", ".join(dict.fromkeys(sources)) or case.source
