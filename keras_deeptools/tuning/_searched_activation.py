"""An activation from a search, with the initializer that fits it."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import checked_option, message
from keras_deeptools.initializers import initializer_for

OWNER = "searched_activation"
ACTIVATIONS = ("relu", "gelu", "silu", "elu", "selu", "mish", "tanh", "softsign")


def searched_activation(
    hp: Any,
    names: Sequence[str] = ("relu", "gelu", "silu", "selu", "tanh"),
    layer: str | type[keras.Layer] | None = None,
    *,
    prefix: str = "activation",
) -> tuple[str, keras.initializers.Initializer]:
    """Chooses an activation, and makes the initializer that keeps variance with it.

    An activation that is tried with the initialization of another one loses for the
    wrong reason. Here each comes with its own: He's for ReLU, LeCun's for SELU, and for
    the others the one whose gain is right, see `initializer_for`.

    For networks with one activation throughout, in a `build(hp)`. The initializer may
    serve several layers; each gets another kernel.

    Args:
        hp: `keras_tuner.HyperParameters`.
        names: Names out of `"relu"`, `"gelu"`, `"silu"`, `"elu"`, `"selu"`, `"mish"`,
            `"tanh"` and `"softsign"`. The first is the default.
        layer: What the kernels are for, as in `initializer_for`: `"dense"`, `"conv"`,
            `"depthwise_conv"`, a Keras class, ... None goes by the rank of the kernel.
        prefix: Str, name of the hyperparameter.

    Returns:
        Name of the activation, and its initializer.

    Raises:
        ValueError: If a name is unknown.

    Example:

    >>> import keras
    >>> from keras_deeptools.tuning import searched_activation
    >>> class FirstTrial:
    ...     Choice = staticmethod(lambda name, values, default: default)
    >>> activation, initializer = searched_activation(FirstTrial)
    >>> dense = keras.layers.Dense(8, activation, kernel_initializer=initializer)
    >>> activation, round(initializer.gain, 4)
    ('relu', 1.4142)

    Reference:
        He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852
    """
    if not names:
        rule = f"names out of {', '.join(ACTIVATIONS)}"
        raise ValueError(message(OWNER, "names", rule, names))
    for name in names:
        checked_option(OWNER, "names", name, ACTIVATIONS)
    chosen = names[0]
    if len(names) > 1:
        chosen = hp.Choice(prefix, list(names), default=names[0])
    return chosen, initializer_for(chosen, layer)
