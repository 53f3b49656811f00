"""A model or layer that always runs as at inference, while its weights train."""

from typing import Any

import keras

from keras_deeptools._arguments import message


@keras.saving.register_keras_serializable("keras_deeptools")
class InferenceMode(keras.layers.Wrapper):
    """Runs a model or layer with `training=False` at all times.

    BatchNormalization layers inside normalize with their moving statistics, which stay
    as they are, and dropout is off, while the weights inside can be trained. Use it
    around a pretrained model that is fine-tuned on few data, where the statistics of
    small batches would undo what the model has learned. The usual way to write this,
    `backbone(inputs, training=False)`, is ignored by `fit` in a functional model.

    A layer that was called with `training=True` in the graph of the wrapped model, or
    that is stochastic at inference by its own setting, remains so.

    Args:
        layer: `keras.Layer`, for instance a `keras.Model`.
        **kwargs: `name` and the other arguments of a Keras layer.

    Call arguments:
        inputs: What `layer` takes.

    Raises:
        TypeError: If `layer` is no Keras layer.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.transfer import InferenceMode
    >>> backbone = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5)])
    >>> model = keras.Sequential([keras.Input((2,)), InferenceMode(backbone)])
    >>> outputs = model(np.ones((1, 2), "float32"), training=True)
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[1.0, 1.0]]
    """

    always_at_inference = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, keras.Layer):
            rule = "a Keras layer or model"
            raise TypeError(message("InferenceMode", "layer", rule, layer))
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The outputs of the layer for `inputs` at inference."""
        return self.layer(inputs, training=False)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask that the layer computes."""
        return self.layer.compute_mask(inputs, previous_mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's output shape."""
        return self.layer.compute_output_shape(input_shape)
