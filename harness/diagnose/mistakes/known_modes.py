"""The known mistakes in which statistics are used when: modes, updates, debiasing, what is out of date."""

from __future__ import annotations

from harness.diagnose.mistakes import debias, modes, stale, statistics
from harness.diagnose.mistakes.entry import Known

OF_MODES: tuple[Known, ...] = (
    Known(
        "eval_uses_batch_stats",
        "prediction normalizes by the batch's own statistics: use the moving ones",
        (
            modes.EvalUsesBatchStats,
            modes.EvalIsTrainingWithoutUpdate,
            modes.EvalUsesBatchMean,
            modes.EvalUsesBatchVar,
            modes.EvalIsTraining,
            modes.EvalIsTrainingForward,
            modes.ModesSwapped,
        ),
    ),
    Known(
        "train_uses_moving_stats",
        "training, or its gradient alone, goes by the moving statistics: use the batch's own, before they are averaged",
        (
            modes.TrainUsesMovingStats,
            modes.TrainUsesUpdatedStats,
            modes.TrainUsesMovingStatsTrainingGradient,
            modes.TrainUsesUpdatedStatsTrainingGradient,
            modes.TrainUsesMovingVar,
            modes.TrainUsesUpdatedVar,
            modes.TrainUsesMovingMean,
            modes.TrainUsesUpdatedMean,
            modes.TrainGradientUsesMovingStats,
            modes.TrainGradientUsesOldMovingStats,
            modes.TrainDxUsesMovingVar,
            modes.TrainDxUsesOldMovingVar,
            modes.TrainGradientUsesMovingVar,
            modes.TrainGradientUsesOldMovingVar,
            modes.TrainIsPrediction,
            modes.ModesSwapped,
        ),
    ),
    Known(
        "stats_frozen",
        "training does not move the moving statistics, or only one of the two: update and keep both",
        (
            statistics.StatsFrozen,
            statistics.MeanFrozen,
            statistics.VarFrozen,
            statistics.FrozenAfterFirst,
            modes.TrainIsPrediction,
        ),
    ),
    Known(
        "stats_updated_in_eval",
        "prediction moves the moving statistics: leave them alone outside training",
        (
            statistics.StatsUpdatedInEval,
            statistics.StatsUpdatedBeforeEval,
            statistics.StatsUpdatedForEval,
            statistics.StatsUpdatedForEvalByDefault,
            modes.EvalIsTraining,
            modes.EvalIsTrainingForward,
        ),
    ),
    Known(
        "stats_updated_twice",
        "each training step moves the statistics twice (as recomputation does): update them once",
        (statistics.StatsUpdatedTwice, statistics.StatsUpdatedTwiceByBackward),
    ),
    Known(
        "debiased",
        "the moving statistics are divided by 1 - momentum^t, which is not declared: use the plain average",
        (
            debias.Debiased,
            debias.DebiasedFromZero,
            debias.DebiasedAtOnce,
            debias.DebiasedWhenUsed,
            debias.DebiasedWhenShown,
        ),
        lambda c: not c.debias,
    ),
    Known(
        "not_debiased",
        "the moving statistics lack the declared division by 1 - momentum^t, or count t wrongly",
        (
            debias.NotDebiased,
            debias.DebiasedOneAhead,
            debias.DebiasedOneBehind,
            statistics.CountedTwice,
            debias.DebiasedWhenUsed,
            debias.DebiasedWhenShown,
        ),
        lambda c: c.debias,
    ),
    Known(
        "non_finite_output",
        "debiasing divides by 1 - momentum^0 = 0 before any update: use the average as it is until then",
        (debias.DebiasedAtOnce,),
        lambda c: c.debias,
    ),
    Known(
        "stale_statistics",
        "prediction uses the moving statistics as they were before the last update: use those after it",
        stale.STALE,
    ),
    Known(
        "stale_fold",
        "prediction uses a scale and shift that were folded once: fold again after training and after loading",
        stale.FOLDED,
    ),
)
