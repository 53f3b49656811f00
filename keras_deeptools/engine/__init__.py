"""The engine: features that take part in an optimizer's compiled update.

The only room that knows Keras' internals and the backends.
"""

from keras_deeptools._distributed_search.keras_tuner_hooks import join_search
from keras_deeptools._distributed_search.settings import (
    SearchSettings,
    missing_for_tuner,
    tell_chief,
)
from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._backends.common import SeveralReplicasError
from keras_deeptools.engine._backends.memory import (
    peak_device_memory,
    reset_peak_device_memory,
)
from keras_deeptools.engine._building.before_fit import build_for_fit
from keras_deeptools.engine._building.first_call import build_on
from keras_deeptools.engine._building.later_weights import initialize_later
from keras_deeptools.engine._data.batch_loss import batch_loss, train_by_batch
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._data.fit_data import FitData
from keras_deeptools.engine._data.predict_rows import RowBatches, padded
from keras_deeptools.engine._dropout.mask_sampling import exportable_draws
from keras_deeptools.engine._dropout.rates import (
    has_dropout_rate,
    set_dropout_rate,
    with_dropout_rate,
)
from keras_deeptools.engine._dropout.stochastic_layers import stochastic_layers
from keras_deeptools.engine._frozen_features.computation import FeaturePass
from keras_deeptools.engine._frozen_features.cut import FeatureCut
from keras_deeptools.engine._frozen_features.pooled_outputs import PooledOutputs
from keras_deeptools.engine._frozen_features.two_part_fit import (
    FitWatch,
    fit_in_two_parts,
)
from keras_deeptools.engine._graph.calls import (
    Call,
    calls_in_a_row,
    calls_of,
    final_activation,
    moves_values,
    output_calls_of,
    producer,
    submodel,
)
from keras_deeptools.engine._graph.chain import Link, chain_of
from keras_deeptools.engine._graph.fingerprint import step_config
from keras_deeptools.engine._graph.layers import current_place, layers_of
from keras_deeptools.engine._graph.tensors import (
    layer_names,
    tensor_after,
    tensor_before_head,
)
from keras_deeptools.engine._passes.batch_norm_statistics import BatchStatistics
from keras_deeptools.engine._passes.capture import Capture, Captured
from keras_deeptools.engine._passes.compiled_with import compile_arguments, row_losses
from keras_deeptools.engine._passes.functional_call import ModelFunction
from keras_deeptools.engine._passes.layer_taps import LayerCall
from keras_deeptools.engine._retraining.retrain import Retraining, retrain
from keras_deeptools.engine._retraining.trainability import (
    Trainability,
    leaves_of,
    own_weights,
)
from keras_deeptools.engine._state.adapted_state import (
    copy_adapted_state,
    json_with_adapted_state,
)
from keras_deeptools.engine._state.random_state import reseed, seeded
from keras_deeptools.engine._state.snapshot import Snapshot, preserved
from keras_deeptools.engine._state.temporary_weights import StandIns, constrained_values
from keras_deeptools.engine._update.attachment import (
    Attachment,
    attach,
    attached_features,
    is_attached,
)
from keras_deeptools.engine._update.feature import Feature
from keras_deeptools.engine._update.kept_values import kept_values
from keras_deeptools.engine._update.leaf import (
    Leaf,
    moving_averages,
    optimized_variables,
    trained_variables,
)
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    chosen_optimizers,
    model_optimizers,
    used_optimizers,
)
from keras_deeptools.engine._update.optimizer_wrapper import OptimizerWrapper
from keras_deeptools.engine._update.rate_multipliers import (
    RateMultipliers,
    check_rate_scales,
)
from keras_deeptools.engine._update.recorder import Recorder
from keras_deeptools.engine._update.scheduled_variables import model_variable
from keras_deeptools.engine._update.step_functions import (
    call_with_reads,
    check_traceable,
    operations_of,
)
from keras_deeptools.engine._update.train_step import running_fit

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
