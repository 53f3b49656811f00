"""What layers and variables hold privately."""

from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.engine._keras_private.seam import (
    Seam,
    has,
    has_private,
    private,
    samples,
)

ATTENTION_DROPOUT = "_dropout"
"""The dropout rate by which MultiHeadAttention decides whether to call its Dropout."""

CHECKS_INPUTS = "_assert_input_compatibility"
"""The method by which a functional model refuses inputs of other shapes."""

CONVERTS_INPUTS = "_convert_input_args"
"""Whether calling a layer converts its inputs to the layer's dtype."""

TAKES_NON_TENSORS = "_allow_non_tensor_positional_args"
"""Whether a layer may be called on objects that are not tensors."""

LEADING_TO_LAYERS = ("_layers", "_operations", "_functional")
"""Attributes of a layer that list what it consists of."""

TRAINABLE_STATE = "_compiled_trainable_state"
"""Attribute of a model that notes what trained when it was compiled."""

NOTED_BY_CALLS = ("_called",)
"""Attributes of a layer that a call changes, and that no trace depends on."""


def flat_layers(
    layer: Any, include_self: bool = True, recursive: bool = True
) -> list[Any]:
    """A layer and those inside it, each once, in the order in which Keras saves them.

    `keras.Model.layers` is public, but lists the layers of one model only: it does not
    enter wrappers, cells and custom layers.
    """
    return list(layer._flatten_layers(include_self=include_self, recursive=recursive))


def direct_layers(layer: Any) -> list[Any]:
    """The layers that a layer holds itself."""
    return list(getattr(layer, "_layers", None) or ())


def held_weights(layer: Any) -> list[Any]:
    """The variables that a layer holds itself and can train, frozen or not.

    The public `trainable_variables` leaves out what is frozen, and enters layers.
    """
    return layer._trainable_variables


def held_states(layer: Any) -> list[Any]:
    """The variables that a layer holds itself and never trains."""
    return layer._non_trainable_variables


def held_generators(layer: Any) -> list[Any]:
    """The random generators that a layer holds itself."""
    return layer._seed_generators


def held_metrics(layer: Any) -> list[Any]:
    """The metrics that a layer holds itself."""
    return getattr(layer, "_metrics", [])


def own_flag(layer: Any) -> bool:
    """The layer's own `trainable`, which files hold."""
    return layer._trainable


def set_own_flag(layer: Any, trains: bool) -> None:
    """Sets the layer's own `trainable`; the public setter reaches all layers below."""
    layer._trainable = trains


def tracker_of(owner: Any) -> Any:
    """What notes the variables and layers assigned to a layer or metric, or None."""
    return getattr(owner, "__dict__", {}).get("_tracker")


def takes_training(layer: Any) -> bool:
    """Whether the `call` of a layer has an argument `training`."""
    return bool(getattr(layer, "_call_has_training_arg", False))


def passes_training(operation: Any) -> bool:
    """Whether a layer, when called, takes `training` for itself or for those inside."""
    return "training" in getattr(operation, "_call_context_args", {})


def build_shapes(layer: Any) -> dict[str, Any]:
    """The shapes that a layer was built for, by the names of arguments of `build`."""
    return getattr(layer, "_build_shapes_dict", None) or {}


def take_any_inputs(layer: Any) -> None:
    """Lets a layer be called on anything, which it gets as it is."""
    layer._convert_input_args = False
    layer._allow_non_tensor_positional_args = True


def lookup_of(layer: Any) -> Any:
    """The lookup inside of a TextVectorization; of another layer, the layer itself."""
    return getattr(layer, "_lookup_layer", layer)


def value_of(variable: Any) -> Any:
    """What a variable holds, None where it has no value (yet, or any more).

    The public `value` raises there, and reads a scope's instead inside of one.
    """
    return variable._value


def layout_of(variable: Any) -> Any:
    """How `keras.distribution` splits a variable over devices, or None.

    Keras gives it to what its optimizers keep for each weight.
    """
    return getattr(variable, "_layout", None)


INITIALIZE = "_initialize"
"""The method that gives a variable its first value, on the class `keras.Variable`."""


def mask_of(tensor: Any) -> Any:
    """The mask that travels with a tensor, or None."""
    return private("backend.common.masking", "get_keras_mask")(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Lets a mask travel with a tensor."""
    private("backend.common.masking", "set_keras_mask")(tensor, mask)


def current_path() -> str:
    """The names of the scopes that variables are being made in, joined by `/`."""
    return private("backend.common.name_scope", "current_path")()


def current_scope() -> Any:
    """The `keras.StatelessScope` that code runs in, or None.

    The scope is public, what returns the running one is not.
    """
    return private("backend.common.stateless_scope", "get_stateless_scope")()


def output_spec(function: Callable, *inputs: Any, **options: Any) -> Any:
    """What a function returns for symbolic inputs, without computing it.

    `keras.Layer.compute_output_spec` is public, but skips `__call__`, hence `build`.
    """
    return private("backend").compute_output_spec(function, *inputs, **options)


def _built() -> Any:
    layer = keras.layers.Normalization(name="seam_check")
    layer.build((None, 1))
    return layer


SEAMS = (
    Seam(
        "Variable._layout",
        "splitting moving averages over devices as the weights are",
        "each device holds whole averages under `keras.distribution.ModelParallel`",
        lambda: (
            keras.backend.backend() != "jax" or hasattr(samples.variable, "_layout")
        ),
    ),
    Seam(
        "Layer._flatten_layers",
        "finding every layer inside of a model",
        "no feature sees nested layers",
        lambda: list(samples.layer._flatten_layers()) == [samples.layer],
    ),
    Seam(
        "Layer._layers",
        "telling layers that hold others from those that do not",
        "freezing and unfreezing miss weights",
        lambda: list(samples.layer._layers) == [],
    ),
    Seam(
        "Layer._trainable_variables, Layer._non_trainable_variables",
        "finding the variables that a layer holds itself",
        "weights have no roles, and frozen ones are not found",
        lambda: (
            samples.layer._trainable_variables == []
            and samples.layer._non_trainable_variables == []
        ),
    ),
    Seam(
        "Layer._seed_generators",
        "finding the layers that draw random numbers",
        "dropout of the user's own is not recognized",
        lambda: list(samples.layer._seed_generators) == [],
    ),
    Seam(
        "Layer._metrics",
        "resetting metrics that a layer holds",
        "the loss of one batch contains earlier ones",
        lambda: list(samples.layer._metrics) == [],
    ),
    Seam(
        "Layer._trainable",
        "freezing one layer without those below it",
        "gradual unfreezing trains other layers than it says",
        lambda: samples.layer._trainable is True,
    ),
    Seam(
        "Layer._tracker",
        "taking back what a failed first step created",
        "a model stays half built after an error in its data",
        lambda: hasattr(tracker_of(samples.layer), "stored_ids"),
    ),
    Seam(
        "Layer._call_has_training_arg, Layer._call_context_args",
        "telling whether a layer takes `training`",
        "layers run in the wrong mode in partial passes",
        lambda: (
            samples.layer._call_has_training_arg is False
            and "training" in samples.layer._call_context_args
        ),
    ),
    Seam(
        "Layer._build_shapes_dict",
        "reading the shapes that a model was built for",
        "the outputs of subclassed models are not found",
        lambda: list(build_shapes(_built())) == ["input_shape"],
    ),
    Seam(
        "Layer._convert_input_args, Layer._allow_non_tensor_positional_args, "
        "Layer._assert_input_compatibility",
        "feeding a model with features in the place of data",
        "cached features cannot be trained on",
        lambda: has(samples.layer, CONVERTS_INPUTS, TAKES_NON_TENSORS, CHECKS_INPUTS)(),
    ),
    Seam(
        "MultiHeadAttention._dropout",
        "setting the dropout rate of attention",
        "copies with another dropout rate leave attention as it was",
        lambda: hasattr(
            keras.layers.MultiHeadAttention(1, 1, name="seam_check"), ATTENTION_DROPOUT
        ),
    ),
    Seam(
        "TextVectorization._lookup_layer",
        "copying an adapted vocabulary",
        "copies of a model forget their vocabulary",
        lambda: hasattr(keras.layers.TextVectorization, "set_vocabulary"),
    ),
    Seam(
        "Variable._value",
        "telling whether a variable has a value",
        "a model whose values are lost after a failed step is not noticed",
        lambda: samples.variable._value is not None,
    ),
    Seam(
        "Variable._initialize",
        "keeping the first values of variables that an eager step creates",
        "building an eager model trains it",
        has(keras.Variable, INITIALIZE),
    ),
    Seam(
        "masking.get_keras_mask, masking.set_keras_mask",
        "carrying masks across a cut of a model",
        "padding is not ignored in partial passes",
        has_private("backend.common.masking", "get_keras_mask", "set_keras_mask"),
    ),
    Seam(
        "name_scope.current_path",
        "drawing initial weights by the place of a layer",
        "seeds of initializers depend on the order of layers",
        lambda: current_path() is not None,
    ),
    Seam(
        "stateless_scope.get_stateless_scope",
        "lending state to optimizers inside of a train step on JAX",
        "features cannot be attached to a second optimizer on JAX",
        has_private("backend.common.stateless_scope", "get_stateless_scope"),
    ),
    Seam(
        "backend.compute_output_spec",
        "building models from shapes alone",
        "models cannot be built before training",
        has_private("backend", "compute_output_spec"),
    ),
)
