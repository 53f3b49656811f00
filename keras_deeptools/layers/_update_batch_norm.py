"""Statistics of BatchNormalization for weights that were not reached by training."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_count, checked_model
from keras_deeptools.engine._passes.batch_norm_statistics import BatchStatistics

OWNER = "update_batch_norm"


def update_batch_norm(model: keras.Model, x: Any, *, batch_size: int = 128) -> int:
    """Computes the statistics of all BatchNormalization layers over data.

    In training these statistics are moving averages over the outputs that the weights
    of the last hundred updates gave. They are wrong for weights that training has not
    reached, such as an average (SWA), an interpolation, or pruned weights; this
    function computes them for the present weights.

    Means and variances are those over all given samples, not moving averages; during
    the computation each layer normalizes by its batch, as in training. Dropout and
    noise are off, as at inference, where the statistics are used. Frozen layers
    (`trainable = False`) keep their statistics. Nothing else in the model changes.

    Args:
        model: `keras.Model`, built.
        x: Inputs, as `predict` takes them: arrays, `tf.data.Dataset`, `PyDataset`,
            torch `DataLoader`. A few thousand samples of the training data are enough.
        batch_size: Int >= 2, number of samples in a batch. Use the batch size of
            training. A last batch with fewer samples is left out, unless it is the only
            one.

    Returns:
        Int, the number of layers that were updated.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If the model is not built, or `x` is not data.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import update_batch_norm
    >>> norm = keras.layers.BatchNormalization()
    >>> model = keras.Sequential([keras.Input((1,)), norm])
    >>> update_batch_norm(model, np.array([[1.0], [3.0], [8.0]]))
    1
    >>> round(float(norm.moving_mean[0]), 4), round(float(norm.moving_variance[0]), 4)
    (4.0, 8.6667)

    Reference:
        Izmailov et al., 2018, section 3.2. https://arxiv.org/abs/1803.05407. The
        computation follows Wu and Johnson, 2021, section 3.2.
        https://arxiv.org/abs/2105.07576
    """
    checked_model(OWNER, model)
    checked_count(OWNER, "batch_size", batch_size, minimum=2)
    values = BatchStatistics(model)(x, batch_size, OWNER)
    for variable, value in values:
        variable.assign(value)
    return len(values) // 2
