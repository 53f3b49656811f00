"""Callbacks for `model.fit` that act inside the compiled train step."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.callbacks._accumulation_scheduler import AccumulationScheduler
from keras_deeptools.callbacks._adaptive_gradient_clipping import (
    AdaptiveGradientClipping,
)
from keras_deeptools.callbacks._best_weights import BestWeights
from keras_deeptools.callbacks._cautious_updates import CautiousUpdates
from keras_deeptools.callbacks._find_batch_size.find_batch_size import (
    BatchSizeSearch,
    find_batch_size,
)
from keras_deeptools.callbacks._gradient_centralizer import GradientCentralizer
from keras_deeptools.callbacks._gradient_clipper import GradientClipper
from keras_deeptools.callbacks._gradient_monitor.monitor import GradientMonitor
from keras_deeptools.callbacks._gradient_monitor.readings import (
    GradientProblemError,
    GradientWarning,
)
from keras_deeptools.callbacks._gradient_noise_scale import (
    GradientNoiseScale,
    SharpnessMonitor,
)
from keras_deeptools.callbacks._hyperparameter_scheduler.callback import (
    HyperparameterScheduler,
)
from keras_deeptools.callbacks._l2sp import L2SP
from keras_deeptools.callbacks._learning_rate_finder.callback import LearningRateFinder
from keras_deeptools.callbacks._learning_rate_finder.find_learning_rate import (
    find_learning_rate,
)
from keras_deeptools.callbacks._learning_rate_finder.learning_rate_race import (
    LearningRateRace,
)
from keras_deeptools.callbacks._learning_rate_finder.range_test import RangeTest
from keras_deeptools.callbacks._max_norm_enforcer import MaxNormEnforcer
from keras_deeptools.callbacks._one_cycle_scheduler import OneCycleScheduler
from keras_deeptools.callbacks._percentile_clipping import PercentileClipping
from keras_deeptools.callbacks._r_drop import RDrop
from keras_deeptools.callbacks._sharpness_aware_minimization import (
    SharpnessAwareMinimization,
)
from keras_deeptools.callbacks._spike_guard.callback import SpikeGuard
from keras_deeptools.callbacks._time_limit import TimeLimit
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.callbacks._weight_averaging.callback import WeightAveraging

__all__ = [
    "AccumulationScheduler",
    "AdaptiveGradientClipping",
    "BatchSizeSearch",
    "BestWeights",
    "CautiousUpdates",
    "GradientCentralizer",
    "GradientClipper",
    "GradientMonitor",
    "GradientNoiseScale",
    "GradientProblemError",
    "GradientWarning",
    "HyperparameterScheduler",
    "L2SP",
    "LearningRateFinder",
    "LearningRateRace",
    "MaxNormEnforcer",
    "OneCycleScheduler",
    "PercentileClipping",
    "RDrop",
    "RangeTest",
    "SharpnessAwareMinimization",
    "SharpnessMonitor",
    "SpikeGuard",
    "TimeLimit",
    "TrainingFeature",
    "WeightAveraging",
    "find_batch_size",
    "find_learning_rate",
]
