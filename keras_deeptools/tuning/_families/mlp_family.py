"""A search space of multilayer perceptrons."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_deeptools.tuning._families.hidden_layer import (
    PLAIN,
    Size,
    apply,
    checked_size,
    largest,
)
from keras_deeptools.tuning._families.task import (
    Choices,
    FamilyTask,
    Predicted,
    describes_family,
    family_task,
)
from keras_deeptools.tuning._search_space.ranges import IntRange

OWNER = "mlp_family"
LAYERS = IntRange(1, 6)
UNITS = IntRange(32, 512, log=True)
# SELU leads in deep stacks (Klambauer et al., 2017, section 4). In one to three layers
# it had the worst losses of all activations in random trials on Fashion-MNIST.
SELU_DEPTH = 4


@describes_family
def mlp_family(
    input_shape: int | Sequence[int],
    num_outputs: int,
    task: str = "classification",
    *,
    depth: Size = LAYERS,
    width: Size = UNITS,
    logits: bool = False,
    adapt_to: Any = None,
    optimizers: Sequence[str] = ("adamw", "sgd"),
    activations: Sequence[str] | None = None,
    prefix: str = "mlp",
) -> Callable[[Any], keras.Model]:
    """Makes the `build(hp)` of multilayer perceptrons, for any tuner.

    The searched parts fit together, as the guidelines of the field recommend: ReLU and
    SiLU with the initialization that keeps their variance (He's, for ReLU), batch,
    layer or no normalization, and dropout, Gaussian dropout or none. If four or more
    layers are searched, there is also SELU with LeCun's initialization, AlphaDropout
    and no normalization, which by itself keeps plain stacks normalized. Depth and width
    are searched, and the optimizer as in `searched_optimizer`. The model is compiled.

    In `DeepHyperModel`, the part `"optimizer"` replaces the optimizer chosen here. Its
    part `"dropout_rate"` would overwrite all dropout rates, so leave that part out.

    Args:
        input_shape: Int or tuple of one int: features of a sample. Other shapes are
            flattened.
        {{task}}
        depth: Int >= 1, `IntRange` or `OneOf`. Hidden layers.
        width: Int >= 1, `IntRange` or `OneOf`. Units of each hidden layer.
        {{logits}}
        adapt_to: Array of training inputs; their mean and variance are used to
            standardize all inputs. None if the inputs are standardized already.
        {{optimizers}}
        activations: Names out of those of `searched_activation`, the first is the
            default; None for ReLU and SiLU, and SELU if four layers or more are
            searched.
    {{prefix_to_raises}}

    Example:

    >>> import keras_tuner
    >>> from keras_deeptools.tuning import mlp_family
    >>> build = mlp_family(64, 10)
    >>> hp = keras_tuner.HyperParameters()
    >>> build(hp).output_shape
    (None, 10)
    >>> hp.get("mlp/depth"), hp.get("mlp/activation"), hp.get("mlp/normalization")
    (3, 'relu', 'batch')

    Reference:
        He et al., 2015. https://arxiv.org/abs/1502.01852; Klambauer et al., 2017.
        https://arxiv.org/abs/1706.02515
    """
    checked_size(OWNER, "depth", depth)
    if activations is None:
        selu = ["selu"] if largest(depth) >= SELU_DEPTH else []
        activations = (*PLAIN, *selu)
    predicted = Predicted(input_shape, num_outputs, task, logits, adapt_to)
    choices = Choices(optimizers, activations, prefix)
    common = family_task(OWNER, predicted, choices, (1, 2, 3, 4), selu=True)
    return common.family(OWNER, depth, width, _architecture)


def _architecture(
    task: FamilyTask, depth: Size, width: Size, hp: Any
) -> tuple[Any, Any]:
    inputs, features = task.inputs()
    if len(task.input_shape) > 1:
        features = keras.layers.Flatten()(features)
    layers = task.ask_size(hp, "depth", depth, 3)
    units = task.ask_size(hp, "width", width, 128)
    parts = task.ask_parts(hp, ("dropout", "gaussian"))
    for i in range(layers):
        norm = parts.norm()
        start = parts.initializer(first=i == 0)
        dense = keras.layers.Dense(units, use_bias=not norm, kernel_initializer=start)
        act = keras.layers.Activation(parts.activation)
        features = apply([dense, *norm, act, *parts.drop()], features)
    return inputs, features
