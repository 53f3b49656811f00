"""A search space of residual networks."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_deeptools.layers import NormFreeResidual, ScaledActivation, norm_free_block
from keras_deeptools.tuning._families.hidden_layer import PLAIN, Parts, Size, apply
from keras_deeptools.tuning._families.task import (
    Choices,
    FamilyTask,
    Predicted,
    describes_family,
    family_task,
)
from keras_deeptools.tuning._search_space.ranges import IntRange

OWNER = "residual_family"
BLOCKS = IntRange(1, 4)
UNITS = IntRange(32, 512, log=True)
FILTERS = IntRange(16, 64, log=True)


@describes_family
def residual_family(
    input_shape: int | Sequence[int],
    num_outputs: int,
    task: str = "classification",
    *,
    depth: Size = BLOCKS,
    width: Size | None = None,
    logits: bool = False,
    adapt_to: Any = None,
    optimizers: Sequence[str] = ("adamw", "sgd"),
    activations: Sequence[str] = PLAIN,
    prefix: str = "residual",
) -> Callable[[Any], keras.Model]:
    """Makes the `build(hp)` of residual networks for vectors or images, for any tuner.

    The networks consist of blocks of two layers beside a skip connection, with the
    activation before the weights, as in ResNet v2. Each block has batch or layer
    normalization, or none. Without normalization a learned scale opens its branch from
    zero (SkipInit), and scaled activations (and weight-standardized convolutions) keep
    the variance, so that the start of training does not suffer from depth. Activation,
    dropout, depth and width are searched, and for images the number of stages, each at
    half the resolution and with twice the channels.

    Args:
        input_shape: Int or tuple of one int: features of a sample; or tuple of three,
            the shape of an image: `(height, width, channels)`, or with the channels
            first if Keras is configured so.
        {{task}}
        depth: Int >= 1, `IntRange` or `OneOf`. Blocks; in each stage, for images.
        width: Int >= 1, `IntRange` or `OneOf`. Units, or channels of the first stage;
            None for 32 to 512 units, or 16 to 64 channels.
        {{logits}}
        adapt_to: Array of training inputs; their mean and variance are used to
            standardize all inputs. None if the inputs are standardized already.
        {{optimizers}}
        activations: Names out of those of `searched_activation` except SELU, which does
            not keep a sum with a skip normalized; the first is the default.
    {{prefix_to_raises}}

    Example:

    >>> import keras_tuner
    >>> from keras_deeptools.tuning import residual_family
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.values["residual/normalization"] = "none"
    >>> model = residual_family(20, 1, "regression")(hp)
    >>> [type(layer).__name__ for layer in model.layers[:4]]
    ['InputLayer', 'Dense', 'NormFreeResidual', 'NormFreeResidual']

    Reference:
        He et al., 2016. https://arxiv.org/abs/1603.05027; De & Smith, 2020.
        https://arxiv.org/abs/2002.10444
    """
    predicted = Predicted(input_shape, num_outputs, task, logits, adapt_to)
    choices = Choices(optimizers, activations, prefix)
    common = family_task(OWNER, predicted, choices, (1, 3), selu=False)
    if width is None:
        width = FILTERS if len(common.input_shape) == 3 else UNITS
    return common.family(OWNER, depth, width, _architecture)


def _architecture(
    task: FamilyTask, depth: Size, width: Size, hp: Any
) -> tuple[Any, Any]:
    inputs, features = task.inputs()
    prefix, image = task.prefix, len(task.input_shape) == 3
    blocks = task.ask_size(hp, "depth", depth, 2)
    size = task.ask_size(hp, "width", width, 32 if image else 128)
    most = task.most_stages if image else 1
    stages = most if most == 1 else hp.Int(f"{prefix}/stages", 1, most, default=most)
    parts = task.ask_parts(hp, ("dropout",))
    make = _convolution if image else _dense
    features = make(size, "lecun_normal")(features)
    for stage in range(stages):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            features = _block(parts, image, size * 2**stage, strides)(features)
    features = apply(parts.norm(), features)
    features = keras.layers.Activation(parts.activation)(features)
    if image:
        features = keras.layers.GlobalAveragePooling2D()(features)
    features = apply(parts.drop(), features)
    return inputs, features


def _block(
    parts: Parts, image: bool, size: int, strides: int
) -> Callable[[Any], Any] | keras.Layer:
    if parts.normalization != "none":
        return functools.partial(_normalized, parts, image, size, strides)
    if image:
        return norm_free_block(size, strides=strides, activation=parts.activation)
    branch: list[keras.Layer] = []
    for _ in range(2):
        branch += [ScaledActivation(parts.activation), _dense(size, "lecun_normal")]
    return NormFreeResidual(branch)


def _normalized(
    parts: Parts, image: bool, size: int, strides: int, features: Any
) -> Any:
    """Normalization, activation, weights, twice, beside the identity."""
    make = _convolution if image else _dense
    first = make(size, parts.initializer(), **({"strides": strides} if image else {}))
    branch = [
        *parts.norm(),
        keras.layers.Activation(parts.activation),
        first,
        *parts.norm(),
        keras.layers.Activation(parts.activation),
        make(size, parts.initializer()),
    ]
    outputs = apply(branch, features)
    if outputs.shape != features.shape:
        skip = keras.layers.Conv2D(size, 1, strides=strides, use_bias=False)
        features = skip(features)
    return keras.layers.Add()([features, outputs])


def _dense(units: int, initializer: Any) -> keras.Layer:
    return keras.layers.Dense(units, kernel_initializer=initializer)


def _convolution(filters: int, initializer: Any, strides: int = 1) -> keras.Layer:
    return keras.layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        kernel_initializer=initializer,
    )
