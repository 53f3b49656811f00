"""The engine: features that take part in an optimizer's compiled update.

The only room that knows Keras' internals and the backends.
"""

from keras_deeptools.engine._attachment import Attachment, attach
from keras_deeptools.engine._batch_loss import batch_loss, train_by_batch
from keras_deeptools.engine._batches import Batches
from keras_deeptools.engine._calls import Call, calls_of, output_calls_of
from keras_deeptools.engine._capture import Capture
from keras_deeptools.engine._captured import Captured
from keras_deeptools.engine._chain import Link, chain_of
from keras_deeptools.engine._compile_arguments import compile_arguments
from keras_deeptools.engine._dropout_rates import with_dropout_rate
from keras_deeptools.engine._exportable import exportable_draws
from keras_deeptools.engine._feature import Feature
from keras_deeptools.engine._layer_calls import LayerCall
from keras_deeptools.engine._layers import (
    layers_of,
    moving_averages,
    optimized_variables,
    trained_variables,
)
from keras_deeptools.engine._leaf import Leaf
from keras_deeptools.engine._place import current_place
from keras_deeptools.engine._producers import producer, submodel
from keras_deeptools.engine._recorder import Recorder
from keras_deeptools.engine._retrainable import Retraining, retrain
from keras_deeptools.engine._seeded import seeded
from keras_deeptools.engine._snapshot import Snapshot, is_attached, preserved
from keras_deeptools.engine._stochastic import stochastic_layers
from keras_deeptools.engine._tensors import tensors
from keras_deeptools.engine._trainability import Trainability, leaves_of

__all__ = [
    "Attachment",
    "Batches",
    "Call",
    "Capture",
    "Captured",
    "Feature",
    "LayerCall",
    "Leaf",
    "Link",
    "Recorder",
    "Retraining",
    "Snapshot",
    "Trainability",
    "attach",
    "batch_loss",
    "calls_of",
    "chain_of",
    "compile_arguments",
    "current_place",
    "exportable_draws",
    "is_attached",
    "layers_of",
    "leaves_of",
    "moving_averages",
    "optimized_variables",
    "output_calls_of",
    "preserved",
    "producer",
    "retrain",
    "seeded",
    "stochastic_layers",
    "submodel",
    "tensors",
    "train_by_batch",
    "trained_variables",
    "with_dropout_rate",
]
