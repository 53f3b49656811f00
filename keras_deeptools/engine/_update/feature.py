"""What a feature may ask of the engine."""

from collections.abc import Callable
from typing import Any

from keras_deeptools.engine._update.leaf import Leaf

ScheduledPair = tuple[Any, Callable]


class Feature:
    """One thing that takes part in the optimizer's compiled update.

    A subclass overrides the stages that it needs; `attach` calls them for every
    update, on every backend, in this order:

    1. `hyperparameters`: values that are functions of the step,
    2. `observe_gradients`: unscaled, unclipped (mean of the accumulated) gradients,
    3. `transform_gradients`: what the optimizer will see (Keras' own clipping and
       weight decay come after it),
    4. `transform_updates`: how far the weights really move,
    5. `observe_updates`: how far that was, for each weight,
    6. `project_weights`: corrections of the weights, before the moving average,
    7. `observe_weights`: the weights that the update has led to.

    All features pass one stage before the next begins; within a stage they run in
    the order in which they were attached. The code of a stage is traced once on
    TensorFlow and JAX, so it uses `keras.ops` and may not branch on values. What it
    must remember from step to step lives in variables that `prepare` creates.

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
    """Whether what others assign to a learning rate that it schedules has no effect."""

    def prepare(self, leaf: Leaf) -> Any:
        """Checks the optimizer and creates state; called once per leaf optimizer.

        Args:
            leaf: `Leaf`, the optimizer that is attached to.

        Returns:
            Whatever the other stages want to receive as `state`.
        """
        return None

    def begin_late(self) -> None:
        """Catches up where training had begun before the optimizer was built.

        TensorFlow builds a model that was never called, and its optimizer, in the first
        step. `prepare` is then called in that step, and after it this: callbacks have
        been told by then that training and its first epoch begin.
        """

    def hyperparameters(self, state: Any, leaf: Leaf) -> dict[str, Callable]:
        """Hyperparameters to set in the graph.

        Returns:
            Dict from attribute name (`"learning_rate"`, `"momentum"`, ...) to a
            function of `step` (number of updates the optimizer has made: an int
            tensor, or an int where the host knows it) that returns a scalar.
        """
        return {}

    def model_variables(self, state: Any, leaf: Leaf) -> dict[str, ScheduledPair]:
        """Variables of the model to set at the beginning of every train step.

        Returns:
            Dict from a name to a pair: a scalar variable of the model that is not
            trained (see `model_variable`), and a function of `step` as in
            `hyperparameters`.
        """
        return {}

    def train_step(self, state: Any, leaf: Leaf, train_step: Callable) -> Any:
        """The train step that takes the place of the model's own, or None.

        Args:
            state: What `prepare` returned.
            leaf: `Leaf`.
            train_step: Function, called as the model's `train_step`.
        """
        return None

    def observe_gradients(self, state: Any, leaf: Leaf, gradients: list) -> None:
        """Sees the gradients of `leaf.active` as training computed them."""

    def transform_gradients(self, state: Any, leaf: Leaf, gradients: list) -> list:
        """Returns the gradients that the optimizer will use instead."""
        return gradients

    changes_updates = False
    """Whether `transform_updates` is to be called."""

    def transform_updates(
        self, state: Any, leaf: Leaf, before: list, gradients: list
    ) -> None:
        """Changes what the optimizer's update has made of `leaf.active`.

        Called only where `changes_updates`, since it takes a copy of the weights.

        Args:
            state: What `prepare` returned.
            leaf: `Leaf`; the variables have their new values, to be assigned again.
            before: List of tensors, the values before the update and after weight
                decay; not to be changed.
            gradients: List of gradients that the optimizer used.
        """

    def wants_updates(self, state: Any, leaf: Leaf) -> bool:
        """Whether `observe_updates` is to be called after this update."""
        return False

    def observe_updates(
        self, state: Any, leaf: Leaf, change_norms: Any, weight_norms: Any
    ) -> None:
        """Sees what the optimizer did to `leaf.active`, without weight decay.

        Args:
            state: What `prepare` returned.
            leaf: `Leaf`; the variables have their new values.
            change_norms: Float32 tensor `(len(leaf.active),)`, L2 norm of each
                variable's change.
            weight_norms: Float32 tensor of the same shape, L2 norm of each variable
                before the change.
        """

    def project_weights(self, state: Any, leaf: Leaf) -> None:
        """Corrects the values of `leaf.active` after the update."""

    def observe_weights(self, state: Any, leaf: Leaf) -> None:
        """Sees the weights after the update, when every feature has corrected them.

        Keras' own constraints act after this; `constrained_values` looks ahead.
        """

    def follow(self, state: Any, leaf: Leaf) -> Any:
        """Goes on with other variables, after layers were frozen or unfrozen.

        Called between steps, when `leaf.variables` are the new ones; what is raised
        here undoes the freezing. A feature without a `prepare` of its own goes on as it
        is; others override this too, or cannot be attached meanwhile.

        Args:
            state: What `prepare` returned, or the last `follow`.
            leaf: `Leaf`, whose state variables still have their values.

        Returns:
            What the other stages want to receive as `state` from now on.
        """
        return state

    def traced(self, state: Any, leaf: Leaf) -> Any:
        """What the compiled stages depend on beside state variables and gradients.

        A step that was compiled with features is used again when features of the same
        classes are attached for which this returns what it did.

        Args:
            state: What `prepare` returned.
            leaf: `Leaf`.

        Returns:
            Numbers, strings, and tuples, lists and dicts of them; None where the step
            has to be traced anew each time.
        """
        return None

    @property
    def follows(self) -> bool:
        """Whether `follow` can be called: it is the feature's own, or not needed."""
        cls = type(self)
        plain = cls.prepare is Feature.prepare
        return plain or cls.follow is not Feature.follow

    def release(self, state: Any, leaf: Leaf) -> None:
        """Called once before the state is taken away; the last chance to read it."""
