"""Statistics of BatchNormalization for weights that training has not visited."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_count, checked_model
from keras_deeptools.engine._passes.batch_norm_statistics import BatchStatistics

OWNER = "update_batch_norm"


def update_batch_norm(model: keras.Model, x: Any, *, batch_size: int = 128) -> int:
    """Computes the statistics of all BatchNormalization layers over data.

    In training they are moving averages, of outputs that the weights of the last
    hundred updates gave. For weights that were not trained into, such as an average
    (SWA), an interpolation, or pruned ones, they are wrong: compute them.

    Means and variances are those over all rows given, not moving averages; each layer
    normalizes by its batch meanwhile, as in training. Dropout and noise are off, as in
    inference, which is where the statistics are used. Frozen layers
    (`trainable = False`) keep theirs. Nothing else of the model changes.

    Args:
        model: `keras.Model`, built.
        x: Inputs, as `predict` takes them: arrays, `tf.data.Dataset`, `PyDataset`,
            torch `DataLoader`. A few thousand rows of the training data do.
        batch_size: Int >= 2, rows in a batch. Take the one of the training. A last
            batch of fewer rows is left out, unless it is the only one.

    Returns:
        Int, the number of layers that were updated.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, or `x` is no data.

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
        Izmailov et al., 2018, section 3.2. https://arxiv.org/abs/1803.05407. Computed
        as in Wu and Johnson, 2021, section 3.2. https://arxiv.org/abs/2105.07576
    """
    checked_model(OWNER, model)
    checked_count(OWNER, "batch_size", batch_size, minimum=2)
    values = BatchStatistics(model)(x, batch_size, OWNER)
    for variable, value in values:
        variable.assign(value)
    return len(values) // 2
