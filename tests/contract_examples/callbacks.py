"""A valid instance of every public class of `keras_deeptools.callbacks`."""

from collections.abc import Callable

from contract_examples.model import INPUTS, TARGETS, small_model
from keras_deeptools import callbacks, schedules

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.callbacks.AccumulationScheduler": lambda: (
        callbacks.AccumulationScheduler({0: 2, 1: 1})
    ),
    "keras_deeptools.callbacks.AdaptiveGradientClipping": (
        callbacks.AdaptiveGradientClipping
    ),
    "keras_deeptools.callbacks.BatchSizeSearch": lambda: callbacks.find_batch_size(
        small_model(), INPUTS, TARGETS, max_batch_size=8, seconds=0.001
    ),
    "keras_deeptools.callbacks.BestWeights": lambda: callbacks.BestWeights("loss"),
    "keras_deeptools.callbacks.CautiousUpdates": callbacks.CautiousUpdates,
    "keras_deeptools.callbacks.GradientCentralizer": callbacks.GradientCentralizer,
    "keras_deeptools.callbacks.GradientClipper": lambda: callbacks.GradientClipper(
        norm=1.0, global_norm=2.0, value=0.5
    ),
    # "ignore": two epochs of four batches are too short to judge.
    "keras_deeptools.callbacks.GradientMonitor": lambda: callbacks.GradientMonitor(
        on_problem="ignore"
    ),
    "keras_deeptools.callbacks.GradientNoiseScale": lambda: (
        callbacks.GradientNoiseScale(INPUTS, TARGETS, num_parts=2, seed=0)
    ),
    "keras_deeptools.callbacks.HyperparameterScheduler": lambda: (
        callbacks.HyperparameterScheduler(
            {"learning_rate": schedules.Exponential(0.01, 0.9)}
        )
    ),
    "keras_deeptools.callbacks.L2SP": lambda: callbacks.L2SP(0.1, head="dense*"),
    "keras_deeptools.callbacks.LearningRateFinder": lambda: (
        callbacks.LearningRateFinder(
            INPUTS, TARGETS, num_steps=20, apply=False, verbose=0
        )
    ),
    "keras_deeptools.callbacks.MaxNormEnforcer": lambda: callbacks.MaxNormEnforcer(1.0),
    "keras_deeptools.callbacks.OneCycleScheduler": lambda: callbacks.OneCycleScheduler(
        0.02
    ),
    "keras_deeptools.callbacks.PercentileClipping": lambda: (
        callbacks.PercentileClipping(20, window=5)
    ),
    "keras_deeptools.callbacks.LearningRateRace": lambda: callbacks.find_learning_rate(
        small_model(), INPUTS, TARGETS, method="race", max_updates=50, verbose=0
    ),
    "keras_deeptools.callbacks.RDrop": lambda: callbacks.RDrop(0.5),
    "keras_deeptools.callbacks.RangeTest": lambda: callbacks.find_learning_rate(
        small_model(), INPUTS, TARGETS, num_steps=20, verbose=0
    ),
    "keras_deeptools.callbacks.SharpnessAwareMinimization": lambda: (
        callbacks.SharpnessAwareMinimization(0.1, interval=2)
    ),
    "keras_deeptools.callbacks.SharpnessMonitor": lambda: callbacks.SharpnessMonitor(
        INPUTS, TARGETS, num_iterations=2, seed=0
    ),
    "keras_deeptools.callbacks.SpikeGuard": callbacks.SpikeGuard,
    "keras_deeptools.callbacks.TimeLimit": lambda: callbacks.TimeLimit(
        minutes=9.0, monitor="loss"
    ),
    "keras_deeptools.callbacks.TrainingFeature": callbacks.TrainingFeature,
    "keras_deeptools.callbacks.WeightAveraging": lambda: callbacks.WeightAveraging(
        0.9, start=1
    ),
}
