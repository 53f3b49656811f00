"""Maxout: the largest of several linear pieces."""

from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_count, is_integer, message


@keras.saving.register_keras_serializable(package="keras_deeptools")
class Maxout(keras.layers.Layer):
    """The largest of each `num_pieces` neighbouring channels.

    After a dense layer or convolution without activation, each output is the maximum of
    `num_pieces` linear functions: an activation that is learned, convex, and passes the
    gradient to one piece unchanged, so that it suits dropout. The layer before it needs
    `num_pieces` times as many units as shall leave. The `Maxout(num_units)` of
    TensorFlow Addons is `Maxout(channels // num_units)`.

    Args:
        num_pieces: Int >= 2. Number of channels of which the largest is kept.
        axis: Int. Axis of the channels, -1 for channels last.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, ..., channels)`, or with the channels at `axis`.

    Returns:
        Tensor with `channels / num_pieces` channels.

    Raises:
        ValueError: If `num_pieces < 2`. When built: if the axis is the batch axis, does
            not exist, or its size is unknown or not a multiple of `num_pieces`.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import Maxout
    >>> y = Maxout(2)(np.array([[1.0, 3.0, -2.0, -5.0]]))
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[3.0, -2.0]]

    Reference:
        Goodfellow et al., 2013, section 3. https://arxiv.org/abs/1302.4389
    """

    def __init__(self, num_pieces: int = 2, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.num_pieces = checked_count(owner, "num_pieces", num_pieces, minimum=2)
        if not is_integer(axis):
            raise TypeError(message(owner, "axis", "an integer", axis))
        self.axis = axis
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs with fewer channels."""
        shape = list(input_shape)
        place = self._place(shape)
        shape[place] //= self.num_pieces
        return tuple(shape)

    def call(self, inputs: Any) -> Any:
        """Returns the maxima."""
        known = list(inputs.shape)
        place = self._place(known)
        sizes = [
            dynamic if size is None else size
            for size, dynamic in zip(known, ops.shape(inputs), strict=True)
        ]
        groups = [known[place] // self.num_pieces, self.num_pieces]
        pieces = ops.reshape(inputs, (*sizes[:place], *groups, *sizes[place + 1 :]))
        return ops.max(pieces, axis=place + 1)

    def _place(self, shape: list[Any]) -> int:
        """The axis of the channels, counted from the front."""
        rank, owner = len(shape), type(self).__name__
        place = self.axis % rank if -rank <= self.axis < rank else 0
        if place == 0 or shape[place] is None:
            rule = f"an axis of known size, not the batch's, of {tuple(shape)}"
            raise ValueError(message(owner, "axis", rule, self.axis))
        if shape[place] % self.num_pieces:
            rule = f"a divisor of the {shape[place]} channels"
            raise ValueError(message(owner, "num_pieces", rule, self.num_pieces))
        return place

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "num_pieces": self.num_pieces,
            "axis": self.axis,
        }
