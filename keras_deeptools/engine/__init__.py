"""The engine: features that take part in an optimizer's compiled update.

The only room that knows Keras' internals and the backends.
"""

from keras_deeptools.engine._adapted_state import (
    copy_adapted_state,
    json_with_adapted_state,
)
from keras_deeptools.engine._attachment import Attachment, attach
from keras_deeptools.engine._batch_loss import batch_loss, train_by_batch
from keras_deeptools.engine._batch_statistics import BatchStatistics
from keras_deeptools.engine._batches import Batches
from keras_deeptools.engine._calls import (
    Call,
    calls_in_a_row,
    calls_of,
    output_calls_of,
)
from keras_deeptools.engine._capture import Capture
from keras_deeptools.engine._captured import Captured
from keras_deeptools.engine._chain import Link, chain_of
from keras_deeptools.engine._compile_arguments import compile_arguments
from keras_deeptools.engine._cuts import layer_names, tensor_after, tensor_before_head
from keras_deeptools.engine._device_memory import (
    peak_device_memory,
    reset_peak_device_memory,
)
from keras_deeptools.engine._dropout_rates import (
    has_dropout_rate,
    set_dropout_rate,
    with_dropout_rate,
)
from keras_deeptools.engine._early_build import build_for_fit
from keras_deeptools.engine._exportable import exportable_draws
from keras_deeptools.engine._feature import Feature
from keras_deeptools.engine._feature_cut import FeatureCut
from keras_deeptools.engine._feature_pass import FeaturePass
from keras_deeptools.engine._first_call import build_on
from keras_deeptools.engine._fit_data import FitData
from keras_deeptools.engine._interruption import running_fit
from keras_deeptools.engine._kept_values import kept_values
from keras_deeptools.engine._later_weights import initialize_later
from keras_deeptools.engine._layer_calls import LayerCall
from keras_deeptools.engine._layers import (
    layers_of,
    moving_averages,
    optimized_variables,
    trained_variables,
)
from keras_deeptools.engine._leaf import Leaf
from keras_deeptools.engine._model_function import ModelFunction
from keras_deeptools.engine._model_optimizers import (
    ModelOptimizer,
    chosen_optimizers,
    model_optimizers,
    used_optimizers,
)
from keras_deeptools.engine._optimizer_wrapper import OptimizerWrapper
from keras_deeptools.engine._place import current_place
from keras_deeptools.engine._pooled_outputs import PooledOutputs
from keras_deeptools.engine._producers import (
    final_activation,
    moves_values,
    producer,
    submodel,
)
from keras_deeptools.engine._rate_multipliers import RateMultipliers, check_rate_scales
from keras_deeptools.engine._recorder import Recorder
from keras_deeptools.engine._retrainable import Retraining, retrain
from keras_deeptools.engine._row_losses import row_losses
from keras_deeptools.engine._rows import RowBatches, padded
from keras_deeptools.engine._scheduled_variable import model_variable
from keras_deeptools.engine._search_news import tell_chief
from keras_deeptools.engine._search_seams import join_search
from keras_deeptools.engine._search_settings import SearchSettings
from keras_deeptools.engine._seeded import reseed, seeded
from keras_deeptools.engine._several_replicas import SeveralReplicasError
from keras_deeptools.engine._snapshot import (
    Snapshot,
    attached_features,
    is_attached,
    preserved,
)
from keras_deeptools.engine._stand_ins import StandIns, constrained_values
from keras_deeptools.engine._step_config import step_config
from keras_deeptools.engine._step_functions import (
    call_with_reads,
    check_traceable,
    operations_of,
)
from keras_deeptools.engine._stochastic import stochastic_layers
from keras_deeptools.engine._tensors import tensors
from keras_deeptools.engine._trainability import Trainability, leaves_of, own_weights
from keras_deeptools.engine._tuner_needs import missing_for_tuner
from keras_deeptools.engine._two_part_fit import FitWatch, fit_in_two_parts

__all__ = [
    "Attachment",
    "BatchStatistics",
    "Batches",
    "Call",
    "Capture",
    "Captured",
    "Feature",
    "FeatureCut",
    "FeaturePass",
    "FitData",
    "FitWatch",
    "LayerCall",
    "Leaf",
    "Link",
    "ModelFunction",
    "ModelOptimizer",
    "OptimizerWrapper",
    "PooledOutputs",
    "RateMultipliers",
    "Recorder",
    "Retraining",
    "RowBatches",
    "SearchSettings",
    "SeveralReplicasError",
    "Snapshot",
    "StandIns",
    "Trainability",
    "attach",
    "attached_features",
    "batch_loss",
    "build_for_fit",
    "build_on",
    "call_with_reads",
    "calls_in_a_row",
    "calls_of",
    "chain_of",
    "check_rate_scales",
    "check_traceable",
    "chosen_optimizers",
    "compile_arguments",
    "constrained_values",
    "copy_adapted_state",
    "current_place",
    "exportable_draws",
    "final_activation",
    "fit_in_two_parts",
    "has_dropout_rate",
    "initialize_later",
    "is_attached",
    "join_search",
    "json_with_adapted_state",
    "kept_values",
    "layer_names",
    "layers_of",
    "leaves_of",
    "missing_for_tuner",
    "model_optimizers",
    "model_variable",
    "moves_values",
    "moving_averages",
    "operations_of",
    "optimized_variables",
    "output_calls_of",
    "own_weights",
    "padded",
    "peak_device_memory",
    "preserved",
    "producer",
    "reseed",
    "reset_peak_device_memory",
    "retrain",
    "row_losses",
    "running_fit",
    "seeded",
    "set_dropout_rate",
    "step_config",
    "stochastic_layers",
    "submodel",
    "tell_chief",
    "tensor_after",
    "tensor_before_head",
    "tensors",
    "train_by_batch",
    "trained_variables",
    "used_optimizers",
    "with_dropout_rate",
]
