"""The shape of images, as users give it."""

from typing import Any

from keras_deeptools._arguments import message
from keras_deeptools.transfer._channels import channel_axis


def checked_image_shape(input_shape: Any) -> tuple[int | None, ...]:
    """Return the shape of an image without its batch, or raise.

    Args:
        input_shape: Three ints, or None for a height or width that varies.

    Example:

    >>> from keras_deeptools.transfer._image_shape import checked_image_shape
    >>> checked_image_shape([32, None, 3])
    (32, None, 3)
    """
    rule = "three integers >= 1, such as (224, 224, 3); height and width may be None"
    wrong = message("backbone", "input_shape", rule, input_shape)
    if not isinstance(input_shape, (tuple, list)):
        raise TypeError(wrong)
    if len(input_shape) != 3 or input_shape[channel_axis(4) - 1] is None:
        raise ValueError(wrong)
    for side in input_shape:
        if side is not None and (isinstance(side, bool) or not isinstance(side, int)):
            raise TypeError(wrong)
        if side is not None and side < 1:
            raise ValueError(wrong)
    return tuple(input_shape)
