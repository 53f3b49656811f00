"""A hidden layer from a search: normalized by batch, by itself, or not."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools._arguments import checked_count, checked_option, message
from keras_deeptools.initializers import initializer_for
from keras_deeptools.layers import SelfNormalizingDense
from keras_deeptools.tuning._families.hidden_layer import MOMENTUM
from keras_deeptools.tuning._search_space.ranges import FloatRange, OneOf

OWNER = "searched_block"
KINDS = ("batch_norm", "self_normalizing", "plain")
ALPHA_DROPOUT = FloatRange(0.0, 0.1)
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
DROPOUT = FloatRange(0.0, 0.5)


def searched_block(
    hp: Any,
    units: int,
    kinds: Sequence[str] = KINDS,
    *,
    prefix: str = "block",
) -> list[keras.Layer]:
    """Makes the layers of one dense hidden block, whose kind comes from a search.

    Each kind is a complete recipe. `"batch_norm"` is a dense layer without bias, batch
    normalization, activation and dropout; `"self_normalizing"` is a
    `SelfNormalizingDense`, with SELU, LeCun's initialization and AlphaDropout;
    `"plain"` is a dense layer, activation and dropout. Activations come with the
    initialization that fits them.

    Blocks with the same prefix are of one kind, as self-normalizing blocks must be.

    Args:
        hp: `keras_tuner.HyperParameters`.
        units: Int >= 1, outputs of the block.
        kinds: Names out of these three. The first is the default.
        prefix: Str, first part of the hyperparameters' names.

    Returns:
        List of `keras.layers.Layer`, for a Sequential model or to be called in turn.

    Raises:
        TypeError: If `units` is no int.
        ValueError: If a kind is unknown, or `units < 1`.

    Example:

    >>> from keras_deeptools.tuning import searched_block
    >>> class FirstTrial:
    ...     Float = staticmethod(lambda name, low, high, sampling, default: default)
    >>> searched_block(FirstTrial, 64, ["self_normalizing"])[0].rate
    0.05

    Reference:
        Ioffe and Szegedy, 2015, section 3. https://arxiv.org/abs/1502.03167. Klambauer
        et al., 2017, section 2. https://arxiv.org/abs/1706.02515
    """
    checked_count(OWNER, "units", units)
    if not kinds:
        raise ValueError(message(OWNER, "kinds", f"names out of {KINDS}", kinds))
    for kind in kinds:
        checked_option(OWNER, "kinds", kind, KINDS)
    if len(kinds) == 1:
        return _made(units, kinds[0], _asked(hp, kinds[0], f"{prefix}/{kinds[0]}"))
    chosen = hp.Choice(f"{prefix}/kind", list(kinds), default=kinds[0])
    asked = {}
    for kind in kinds:
        # All are asked for, so that a tuner knows them before it has chosen.
        with hp.conditional_scope(f"{prefix}/kind", [kind]):
            asked[kind] = _asked(hp, kind, f"{prefix}/{kind}")
    return _made(units, chosen, asked[chosen])


def _asked(hp: Any, kind: str, prefix: str) -> tuple[str | None, float]:
    """Activation and dropout rate; None for what is not in effect."""
    if kind == "self_normalizing":
        return "selu", ALPHA_DROPOUT.ask(hp, f"{prefix}/rate")
    activation = OneOf(ACTIVATIONS).ask(hp, f"{prefix}/activation")
    return activation, DROPOUT.ask(hp, f"{prefix}/rate")


def _made(units: int, kind: str, asked: tuple[str | None, float]) -> list[keras.Layer]:
    activation, rate = asked
    if kind == "self_normalizing":
        return [SelfNormalizingDense(units, rate=rate)]
    normalizes = kind == "batch_norm"
    dense = keras.layers.Dense(
        units,
        use_bias=not normalizes,
        kernel_initializer=initializer_for(activation, "dense"),
    )
    norm = [keras.layers.BatchNormalization(momentum=MOMENTUM)] if normalizes else []
    drop = [keras.layers.Dropout(rate)] if rate else []
    return [dense, *norm, keras.layers.Activation(activation), *drop]


ACTIVATION_OWNER = "searched_activation"

SEARCHED_ACTIVATIONS = (
    "relu",
    "gelu",
    "silu",
    "elu",
    "selu",
    "mish",
    "tanh",
    "softsign",
)


def searched_activation(
    hp: Any,
    names: Sequence[str] = ("relu", "gelu", "silu", "selu", "tanh"),
    layer: str | type[keras.Layer] | None = None,
    *,
    prefix: str = "activation",
) -> tuple[str, keras.initializers.Initializer]:
    """Chooses an activation, and makes the initializer that keeps variance with it.

    An activation that is tried with the initialization of another one has an unfair
    disadvantage. Here each comes with its own: He's for ReLU, LeCun's for SELU, and for
    the others the one with the gain that fits, see `initializer_for`.

    Use the function in a `build(hp)`, for networks with one activation throughout. The
    initializer may serve several layers; each gets another kernel.

    Args:
        hp: `keras_tuner.HyperParameters`.
        names: Names out of `"relu"`, `"gelu"`, `"silu"`, `"elu"`, `"selu"`, `"mish"`,
            `"tanh"` and `"softsign"`. The first is the default.
        layer: The kind of layer that the kernels are for, as in `initializer_for`:
            `"dense"`, `"conv"`, `"depthwise_conv"`, a Keras class, ... None to decide
            by the rank of the kernel.
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
        rule = f"names out of {', '.join(SEARCHED_ACTIVATIONS)}"
        raise ValueError(message(ACTIVATION_OWNER, "names", rule, names))
    for name in names:
        checked_option(ACTIVATION_OWNER, "names", name, SEARCHED_ACTIVATIONS)
    chosen = names[0]
    if len(names) > 1:
        chosen = hp.Choice(prefix, list(names), default=names[0])
    return chosen, initializer_for(chosen, layer)
