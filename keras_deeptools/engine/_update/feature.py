"""The base class of features: the stages of a compiled update."""

from collections.abc import Callable
from typing import Any

from keras_deeptools.engine._update.leaf import Leaf

ScheduledPair = tuple[Any, Callable]


def overrides_both(thing: Any, base: type, method: str, needed: str) -> bool:
    """Whether the class of `thing` overrides a second method if it does a first one.

    Args:
        thing: Instance of `base`.
        base: Class that defines both methods.
        method: Str. The first method.
        needed: Str. The method that has to be overridden with it.
    """
    plain = getattr(type(thing), method) is getattr(base, method)
    return plain or getattr(type(thing), needed) is not getattr(base, needed)


class Feature:
    """Base class of everything that takes part in the optimizer's compiled update.

    A subclass overrides the stages that it needs; `attach` calls them for every
    update, on every backend, in this order:

    1. `hyperparameters`: values that are functions of the step,
    2. `observe_gradients`: sees unscaled, unclipped (mean of the accumulated)
       gradients,
    3. `transform_gradients`: changes the gradients that the optimizer gets (Keras' own
       clipping and weight decay come after it),
    4. `transform_updates`: changes how far the weights move,
    5. `observe_updates`: sees how far each weight has moved,
    6. `project_weights`: corrects the weights, before the moving average,
    7. `observe_weights`: sees the weights after the update.

    All features pass one stage before the next begins; within a stage they run in
    the order in which they were attached. The code of a stage is traced once on
    TensorFlow and JAX, so it must use `keras.ops` and must not branch on values. State
    that is kept from step to step lives in variables that `prepare` creates.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.engine import Feature, attach
    >>> class HalveGradients(Feature):
    ...     def transform_gradients(self, state, leaf, gradients):
    ...         return [g * 0.5 for g in gradients]
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), loss="mse")
    >>> with attach(model, HalveGradients()):
    ...     logs = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    """

    overrules = False
    """Whether the feature ignores what others assign to a scheduled learning rate."""

    def prepare(self, leaf: Leaf) -> Any:
        """Checks the optimizer and creates state; called once per leaf optimizer.

        Args:
            leaf: `Leaf` of the optimizer to which the feature is attached.

        Returns:
            Any object, which the other stages receive as `state`.
        """
        return None

    def begin_late(self) -> None:
        """Catches up if training had begun before the optimizer was built.

        TensorFlow builds a model that was never called, and its optimizer, in the first
        step. `prepare` is then called in that step, followed by this method; by then,
        `on_train_begin` and the first `on_epoch_begin` of callbacks have been called.
        """

    def hyperparameters(self, state: Any, leaf: Leaf) -> dict[str, Callable]:
        """Returns the hyperparameters to set in the graph.

        Returns:
            Dict from attribute name (`"learning_rate"`, `"momentum"`, ...) to a
            function of `step` (number of updates the optimizer has made: an int
            tensor, or an int if the host knows it) that returns a scalar.
        """
        return {}

    def model_variables(self, state: Any, leaf: Leaf) -> dict[str, ScheduledPair]:
        """Returns the variables of the model to set at the start of every train step.

        Returns:
            Dict from a name to a pair: a scalar variable of the model that is not
            trained (see `model_variable`), and a function of `step` as in
            `hyperparameters`.
        """
        return {}

    def train_step(self, state: Any, leaf: Leaf, train_step: Callable) -> Any:
        """Returns a train step that replaces the model's own, or None.

        Args:
            state: State that `prepare` returned.
            leaf: `Leaf`.
            train_step: Function, called like the model's `train_step`.
        """
        return None

    def observe_gradients(self, state: Any, leaf: Leaf, gradients: list) -> None:
        """Receives the gradients of `leaf.active` as training computed them."""

    def transform_gradients(self, state: Any, leaf: Leaf, gradients: list) -> list:
        """Returns the gradients that the optimizer will use instead."""
        return gradients

    changes_updates = False
    """Whether `transform_updates` should be called."""

    def transform_updates(
        self, state: Any, leaf: Leaf, before: list, gradients: list
    ) -> None:
        """Changes the values of `leaf.active` after the optimizer's update.

        It is called only if `changes_updates`, since it takes a copy of the weights.

        Args:
            state: State that `prepare` returned.
            leaf: `Leaf`; its variables have their new values, and can be assigned
                again.
            before: List of tensors, the values before the update and after weight
                decay; they must not be changed.
            gradients: List of gradients that the optimizer used.
        """

    update_sample: int | None = None
    """Elements of each variable from which norms may be estimated; None: all."""

    def wants_updates(self, state: Any, leaf: Leaf) -> bool:
        """Whether `observe_updates` should be called after this update."""
        return False

    def observe_updates(
        self, state: Any, leaf: Leaf, change_norms: Any, weight_norms: Any
    ) -> None:
        """Receives the changes of `leaf.active` by the update, without weight decay.

        Args:
            state: State that `prepare` returned.
            leaf: `Leaf`; its variables have their new values.
            change_norms: Float32 tensor `(len(leaf.active),)`, L2 norm of each
                variable's change.
            weight_norms: Float32 tensor of the same shape, L2 norm of each variable
                before the change.
        """

    def project_weights(self, state: Any, leaf: Leaf) -> None:
        """Corrects the values of `leaf.active` after the update."""

    def observe_weights(self, state: Any, leaf: Leaf) -> None:
        """Sees the weights after the update, when every feature has corrected them.

        Keras' own constraints act after this stage; `constrained_values` gives the
        values after them.
        """

    def follow(self, state: Any, leaf: Leaf) -> Any:
        """Continues with other variables, after layers were frozen or unfrozen.

        It is called between steps, when `leaf.variables` are the new variables; an
        exception raised here undoes the freezing. A feature that does not override
        `prepare` continues unchanged; other features must override this method too, or
        cannot be attached while layers are frozen or unfrozen.

        Args:
            state: State that `prepare`, or the last `follow`, returned.
            leaf: `Leaf`, whose state variables still have their values.

        Returns:
            Any object, which the other stages receive as `state` from now on.
        """
        return state

    def traced(self, state: Any, leaf: Leaf) -> Any:
        """Returns what compiled stages depend on besides state variables and gradients.

        A step that was compiled with features is used again when features of the same
        classes are attached and this method returns the same value for them.

        Args:
            state: State that `prepare` returned.
            leaf: `Leaf`.

        Returns:
            Numbers, strings, and tuples, lists and dicts of them; None if the step has
            to be traced again each time.
        """
        return None

    @property
    def follows(self) -> bool:
        """Whether `follow` works: the feature overrides it, or does not need it."""
        return overrides_both(self, Feature, "prepare", "follow")

    def release(self, state: Any, leaf: Leaf) -> None:
        """Called once before the state is removed; the last chance to read it."""


def sample_size(features: list[Feature]) -> int | None:
    """How many elements of each variable are enough for all features; None: all."""
    sizes = [feature.update_sample for feature in features]
    return None if None in sizes else max(filter(None, sizes), default=None)
