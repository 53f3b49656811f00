"""A search space of convolutional networks."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_deeptools.layers import SelfNormalizingConv2D
from keras_deeptools.tuning._families.hidden_layer import PLAIN, Parts, Size, apply
from keras_deeptools.tuning._families.task import (
    Choices,
    FamilyTask,
    Predicted,
    describes_family,
    family_task,
)
from keras_deeptools.tuning._search_space.ranges import IntRange

OWNER = "cnn_family"
CONVOLUTIONS = IntRange(1, 3)
CHANNELS = IntRange(16, 64, log=True)


@describes_family
def cnn_family(
    input_shape: Sequence[int],
    num_outputs: int,
    task: str = "classification",
    *,
    depth: Size = CONVOLUTIONS,
    width: Size = CHANNELS,
    logits: bool = False,
    adapt_to: Any = None,
    optimizers: Sequence[str] = ("adamw", "sgd"),
    activations: Sequence[str] = (*PLAIN, "selu"),
    prefix: str = "cnn",
) -> Callable[[Any], keras.Model]:
    """Makes the `build(hp)` of plain convolutional networks, for any tuner.

    The networks consist of stages of convolutions, each at half the resolution of the
    one before and with twice its channels. There are as many stages as the size of the
    images allows, up to four. Between the convolutions are the same parts as in
    `mlp_family`: an activation with the initialization that fits it, normalization, and
    dropout of single numbers or of whole channels; or SELU with convolutions that keep
    it self-normalizing at the edges. Also searched are the kernel sizes, and whether
    the head takes the mean over the image or all of it.

    Args:
        input_shape: Tuple of three ints, the shape of an image:
            `(height, width, channels)`, or with the channels first if Keras is
            configured so.
        {{task}}
        depth: Int >= 1, `IntRange` or `OneOf`. Convolutions in each stage.
        width: Int >= 1, `IntRange` or `OneOf`. Channels of the first stage.
        {{logits}}
        adapt_to: Array of training images; their mean and variance by channel are used
            to standardize all inputs. None if the inputs are standardized already.
        {{optimizers}}
        activations: Names out of those of `searched_activation`; the first is the
            default.
    {{prefix_to_raises}}

    Example:

    >>> import keras_tuner
    >>> from keras_deeptools.tuning import cnn_family
    >>> hp = keras_tuner.HyperParameters()
    >>> cnn_family((8, 8, 1), 10, depth=1)(hp).output_shape
    (None, 10)
    >>> hp.get("cnn/stages"), hp.get("cnn/kernel_size"), hp.get("cnn/head")
    (2, 3, 'average')

    Reference:
        Simonyan & Zisserman, 2015, section 2. https://arxiv.org/abs/1409.1556
    """
    predicted = Predicted(input_shape, num_outputs, task, logits, adapt_to)
    choices = Choices(optimizers, activations, prefix)
    common = family_task(OWNER, predicted, choices, (3,), selu=True)
    return common.family(OWNER, depth, width, _architecture)


def _architecture(
    task: FamilyTask, depth: Size, width: Size, hp: Any
) -> tuple[Any, Any]:
    inputs, features = task.inputs()
    prefix, most = task.prefix, task.most_stages
    stages = most if most == 1 else hp.Int(f"{prefix}/stages", 1, most, default=most)
    convolutions = task.ask_size(hp, "depth", depth, 2)
    filters = task.ask_size(hp, "width", width, 32)
    kernel_size = hp.Choice(f"{prefix}/kernel_size", [3, 5], default=3)
    parts = task.ask_parts(hp, ("dropout", "spatial"))
    head = hp.Choice(f"{prefix}/head", ["average", "flat"], default="average")
    for stage in range(stages):
        if stage:
            features = keras.layers.MaxPooling2D(2, padding="same")(features)
        for i in range(convolutions):
            start = parts.initializer(first=stage == i == 0)
            layers = _convolution(parts, filters * 2**stage, kernel_size, start)
            features = apply(layers, features)
        features = apply(parts.drop(), features)
    average, flat = keras.layers.GlobalAveragePooling2D, keras.layers.Flatten
    features = (average() if head == "average" else flat())(features)
    return inputs, features


def _convolution(
    parts: Parts, filters: int, kernel_size: int, initializer: Any
) -> list[keras.Layer]:
    if parts.activation == "selu":
        return [SelfNormalizingConv2D(filters, kernel_size, padding="same")]
    norm = parts.norm()
    convolution = keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=not norm,
        kernel_initializer=initializer,
    )
    return [convolution, *norm, keras.layers.Activation(parts.activation)]
