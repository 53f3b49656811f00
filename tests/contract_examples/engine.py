"""A valid instance of every public class of `keras_deeptools.engine`."""

from collections.abc import Callable

import keras

from keras_deeptools import engine

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.engine.Feature": engine.Feature,
    "keras_deeptools.engine.OptimizerWrapper": lambda: engine.OptimizerWrapper(
        keras.optimizers.Adam()
    ),
    "keras_deeptools.engine.SearchSettings": lambda: engine.SearchSettings(30.0),
    "keras_deeptools.engine.Trainability": lambda: engine.Trainability(
        keras.layers.Dense(4), True, False
    ),
}

# Handles on something live, for which a copy, a pickle or a config has no meaning.
HANDLES = {
    "keras_deeptools.engine.Attachment",
    "keras_deeptools.engine.BatchStatistics",
    "keras_deeptools.engine.Batches",
    "keras_deeptools.engine.Call",
    "keras_deeptools.engine.Capture",
    "keras_deeptools.engine.Captured",
    "keras_deeptools.engine.FeatureCut",
    "keras_deeptools.engine.FeaturePass",
    "keras_deeptools.engine.FitData",
    "keras_deeptools.engine.FitWatch",
    "keras_deeptools.engine.LayerCall",
    "keras_deeptools.engine.Leaf",
    "keras_deeptools.engine.Link",
    "keras_deeptools.engine.ModelFunction",
    "keras_deeptools.engine.ModelOptimizer",
    "keras_deeptools.engine.PooledOutputs",
    "keras_deeptools.engine.RateMultipliers",
    "keras_deeptools.engine.Recorder",
    "keras_deeptools.engine.Retraining",
    "keras_deeptools.engine.RowBatches",
    "keras_deeptools.engine.Snapshot",
    "keras_deeptools.engine.StandIns",
}
