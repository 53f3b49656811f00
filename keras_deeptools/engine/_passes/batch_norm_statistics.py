"""Statistics of the inputs of batch normalization over data, for present weights."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.samples import RowBatches
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._passes.capture import Capture
from keras_deeptools.engine._passes.layer_call import LayerCall
from keras_deeptools.engine._patching import replaced

Values = list[tuple[Any, np.ndarray]]


class BatchStatistics:
    """Computes the mean and variance that each BatchNormalization should have.

    Each layer normalizes with the statistics of the batch, as in training; dropout and
    noise are off, as at inference. The model stays as it is. The computation is traced
    once, so keep the object to compute again with other weights.

    Args:
        model: Built `keras.Model`.

    Attributes:
        layers: List of the `keras.layers.BatchNormalization` that are not frozen.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine._passes.batch_norm_statistics import BatchStatistics
    >>> layers = [keras.layers.Rescaling(2.0), keras.layers.BatchNormalization()]
    >>> model = keras.Sequential([keras.Input((1,)), *layers])
    >>> (_, mean), (_, variance) = BatchStatistics(model)(np.array([[1.0], [3.0]]))
    >>> mean.tolist(), variance.tolist()
    ([4.0], [4.0])
    """

    def __init__(self, model: keras.Model) -> None:
        self.layers = [
            layer
            for layer in flat_layers(model)
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        self._capture = Capture(model, forward=self._seen)
        self._places = {id(layer): i for i, layer in enumerate(self.layers)}

    def __call__(
        self, x: Any, batch_size: int = 128, owner: str = "BatchStatistics"
    ) -> Values:
        """Passes over the data.

        Args:
            x: Data, as `predict` takes them.
            batch_size: Int >= 2. A last batch with fewer samples is left out, unless it
                is the only one.
            owner: Str. Name of the caller, for errors.

        Returns:
            List of tuples of a variable of a layer and what it should be.
        """
        if not self.layers:
            return []
        sizes: list[int] = []
        means: list[list[np.ndarray]] = []
        variances: list[list[np.ndarray]] = []
        for batch in RowBatches(x, batch_size, owner):
            size = len(keras.tree.flatten(batch)[0])
            if sizes and size < batch_size:
                break
            with self._normalizing_by_batch():
                found = [each for each in self._capture(batch).forward if each]
            sizes.append(size)
            means.append([mean for _, mean, _ in found])
            variances.append([variance for _, _, variance in found])
            order = [int(place) for place, _, _ in found]
        values: Values = []
        for place, mean, variance in zip(
            order, zip(*means, strict=True), zip(*variances, strict=True), strict=True
        ):
            layer = self.layers[place]
            center, spread = pooled(np.array(mean), np.array(variance))
            values += [(layer.moving_mean, center), (layer.moving_variance, spread)]
        return values

    def _seen(self, call: LayerCall, before: Any, after: Any) -> Any:
        """Where a layer is among `layers`, and the statistics of the batch."""
        place = self._places.get(id(call.layer))
        if place is None:
            return None
        layer = call.layer
        place = keras.ops.convert_to_tensor(place)
        mean, variance = layer.moving_mean.value, layer.moving_variance.value
        return place, mean, variance

    @contextlib.contextmanager
    def _normalizing_by_batch(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for layer in self.layers:
                # With no memory the moving statistics are those of the batch.
                stack.enter_context(replaced(layer, "momentum", 0.0))
                stack.enter_context(replaced(layer, "call", _by_batch(layer.call)))
            yield


def pooled(means: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of everything from those of parts of equal size.

    Args:
        means: Float array `(parts, features)`.
        variances: Float array `(parts, features)`.
    """
    means, variances = means.astype("float64"), variances.astype("float64")
    mean = means.mean(axis=0)
    variance = (variances + (means - mean) ** 2).mean(axis=0)
    return mean.astype("float32"), variance.astype("float32")


def _by_batch(call: Any) -> Any:
    def normalize(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return call(inputs, training=True, mask=mask)

    return normalize
