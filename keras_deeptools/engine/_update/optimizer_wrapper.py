"""An optimizer around another one, like Keras' LossScaleOptimizer."""

from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine._keras_private.optimizers import (
    ITERATIONS,
    RATE,
    READ_BY_CALLBACKS,
    built_for,
    note_built_for,
    tracked,
    untrack,
)
from keras_deeptools.engine._update.leaf import optimizer_parts

REPLACED = (
    ITERATIONS,
    RATE,
    "clipnorm",
    "clipvalue",
    "ema_momentum",
    "ema_overwrite_frequency",
    "global_clipnorm",
    "gradient_accumulation_steps",
    "loss_scale_factor",
    "use_ema",
    "weight_decay",
)
"""What Keras' constructor sets, and the inner optimizer has."""


@keras.saving.register_keras_serializable(package="keras_deeptools")
class OptimizerWrapper(keras.optimizers.Optimizer):
    """Base class of optimizers that delegate to another one and extend it.

    It has no variables itself; attributes that are not its own are read from and set on
    the inner optimizer (`learning_rate`, `momentum`, `weight_decay`). It may stand
    inside or around a `LossScaleOptimizer`, and inside or around a `MultiOptimizer`.

    Args:
        inner_optimizer: Keras optimizer.
        name: Str or None.

    Raises:
        TypeError: If `inner_optimizer` is not a Keras optimizer.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.optimizer_wrapper import OptimizerWrapper
    >>> optimizer = OptimizerWrapper(keras.optimizers.SGD(0.25, momentum=0.5))
    >>> optimizer.learning_rate = 0.5
    >>> float(optimizer.inner_optimizer.learning_rate), optimizer.momentum
    (0.5, 0.5)
    """

    def __init__(self, inner_optimizer: Any, name: str | None = None) -> None:
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer):
            rule = "a Keras optimizer"
            raise TypeError(
                message(type(self).__name__, "inner_optimizer", rule, inner_optimizer)
            )
        super().__init__(learning_rate=0.0, name=name)
        for variable in list(tracked(self)):
            untrack(self, variable)
        for attribute in REPLACED:
            delattr(self, attribute)
        self.inner_optimizer = inner_optimizer

    def __getattr__(self, name: str) -> Any:
        inner = vars(self).get("inner_optimizer")
        if inner is None or (name.startswith("_") and name not in READ_BY_CALLBACKS):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        return getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        inner = vars(self).get("inner_optimizer")
        own = name.startswith("_") or name in vars(self) or hasattr(type(self), name)
        if inner is not None and not own and hasattr(inner, name):
            if name == "loss_scale_factor":
                _check_scaled_once(self, inner)
            setattr(inner, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def variables(self) -> list[Any]:
        """The variables of the inner optimizer."""
        return self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        """The inner optimizer's count of updates."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer; assignments go there, too."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def build(self, variables: list[Any]) -> None:
        """Builds the inner optimizer for `variables`, unless it is built for them."""
        inner = self.inner_optimizer
        if inner.built and not _same(built_for(inner), variables):
            raise ValueError(
                f"{type(self).__name__}: an optimizer that is built must be built for "
                f"the same variables. Received: {inner.name!r}, built for other ones. "
                "Make a new one, or freeze and unfreeze with "
                "`keras_deeptools.transfer`, which rebuild it."
            )
        if not inner.built:
            inner.build(variables)
        # Past the tracking of assigned containers, which would change them.
        note_built_for(self, variables)
        self.built = True

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Lets the inner optimizer apply `grads` to `trainable_variables`."""
        if not self.built and trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            with keras.name_scope(self.name):
                self.build(trainable_variables)
        self.inner_optimizer.apply(grads, trainable_variables=trainable_variables)

    def stateless_apply(
        self, optimizer_variables: Any, grads: Any, trainable_variables: Any
    ) -> Any:
        """As `apply`, with values in the place of variables."""
        return self.inner_optimizer.stateless_apply(
            optimizer_variables, grads, trainable_variables
        )

    def scale_loss(self, loss: Any) -> Any:
        """Scales the `loss` if the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Ends training as the inner optimizer does, for `var_list`."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(
        self, var_list: Any = None, var_names: Any = None
    ) -> None:
        """Excludes variables (`var_list`, `var_names`) in the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def set_weights(self, weights: Any) -> None:
        """Sets the `weights` of the inner optimizer."""
        self.inner_optimizer.set_weights(weights)

    def get_config(self) -> dict[str, Any]:
        """The name, and the inner optimizer in serialized form."""
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        public = getattr(keras.optimizers, inner["class_name"], None)
        if public is not None and isinstance(self.inner_optimizer, public):
            # Not the backend's class of that name, which other backends cannot run.
            inner |= {"module": "keras.optimizers", "registered_name": None}
        return {"name": self.name, "inner_optimizer": inner}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "OptimizerWrapper":
        """The reverse of `get_config`; `custom_objects` for the inner optimizer."""
        inner = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        return cls(**config | {"inner_optimizer": inner})


def _same(these: list[Any], those: list[Any]) -> bool:
    return [id(variable) for variable in these] == [id(variable) for variable in those]


def _check_scaled_once(wrapper: OptimizerWrapper, inner: Any) -> None:
    """Raises if another optimizer, which sets the factor, scales the loss again."""
    owner = type(wrapper).__name__
    for part in optimizer_parts(inner):
        if isinstance(part, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                f"{owner}: the loss can be scaled by one optimizer. Received: "
                f"{part.name!r} inside, and another one around, which `compile` adds "
                "under the policy mixed_float16. Put yours around: "
                f"`LossScaleOptimizer({owner}(...))`."
            )
