"""Base classes of the callbacks that act inside the train step."""

import inspect
from typing import Any, Self

import keras

from keras_deeptools.engine import Attachment, Feature, Leaf, attach
from keras_deeptools.engine._building.first_step import build_for_optimizers
from keras_deeptools.engine._update.feature import overrides_both
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    OptimizerChoice,
    check_choice,
    choice_names,
    chosen_optimizers,
    log_prefix,
)
from keras_deeptools.engine._update.update_watch import UpdateWatch


class ConfiguredCallback(keras.callbacks.Callback):
    """A callback whose constructor's arguments are stored under their own names."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes a callback from the result of `get_config`.

        Args:
            config: Dict of constructor arguments, as `get_config` returns it.
        """
        return cls(**keras.saving.deserialize_keras_object(config))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model: a copy belongs to no model."""
        return self.__dict__ | {"_model": None, "params": None}

    def check_model(self) -> None:
        """Raises if the callback has not been given its model."""
        if self.model is None:
            raise ValueError(
                f"{type(self).__name__}: the model must be known before training "
                "begins. Received: model=None. Make the list of callbacks with it: "
                "`keras.callbacks.CallbackList(callbacks, model=model)`."
            )


@keras.saving.register_keras_serializable(package="keras_deeptools")
class TrainingFeature(Feature, ConfiguredCallback):
    """Base class of callbacks that take part in the compiled updates during a `fit`.

    A subclass stores every constructor argument under its own name, creates its
    per-optimizer state in `begin` and overrides the stages of `Feature` that it
    needs. The object can be used again, also with another model, copied and pickled.

    Args:
        optimizer: Which optimizers of the model to act on. None: those that the train
            step uses, which is the one that the model was compiled with unless the
            model has a custom `train_step`. A name (`"g_optimizer"`,
            `"optimizers[0]"`, `"optimizers['g']"`, `"generator.optimizer"`, or of a
            whole list or dict), an optimizer, a list of these, or `"all"`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import TrainingFeature
    >>> class HalveGradients(TrainingFeature):
    ...     def transform_gradients(self, state, leaf, gradients):
    ...         return [g * 0.5 for g in gradients]
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> history = model.fit(x, y, callbacks=[HalveGradients()], verbose=0)
    """

    optimizer: OptimizerChoice = None

    def __init__(self, optimizer: OptimizerChoice = None) -> None:
        super().__init__()
        check_choice(optimizer, type(self).__name__)
        self.optimizer = optimizer
        self._optimizers: list[ModelOptimizer] = []
        self._update_watch: UpdateWatch | None = None
        self._attachment: Attachment | None = None
        self._live: list[tuple[Leaf, Any]] = []

    def begin(self, leaf: Leaf) -> Any:
        """Checks the optimizer and creates the state for it; see `Feature.prepare`."""
        return None

    def adapt(self, state: Any, leaf: Leaf) -> Any:
        """Continues with the optimizer's present variables; see `Feature.follow`.

        A subclass that overrides `begin` needs it in order to continue when layers are
        frozen or unfrozen.
        """
        return state

    @property
    def follows(self) -> bool:
        """Whether `adapt` works: the callback overrides it, or does not need it."""
        return overrides_both(self, TrainingFeature, "begin", "adapt")

    def finish(self, state: Any, leaf: Leaf) -> None:
        """Reads the rest of the state before it is removed."""

    def prepare(self, leaf: Leaf) -> Any:
        """Starts on one optimizer; raises if the object is in use elsewhere."""
        for live, _ in self._live:
            elsewhere = live.root is not leaf.root and (
                leaf.model is None or live.model is not leaf.model
            )
            if elsewhere or live.optimizer is leaf.optimizer:
                raise ValueError(
                    f"{type(self).__name__}: one object can be attached to one "
                    "optimizer at a time. Received: an object that is attached to "
                    f"{live.root.name!r}. Detach it, or make a second object."
                )
        state = self.begin(leaf)
        self._live.append((leaf, state))
        return state

    def follow(self, state: Any, leaf: Leaf) -> Any:
        """Continues with other variables on one optimizer."""
        new = self.adapt(state, leaf)
        self._live = [(other, new if other is leaf else s) for other, s in self._live]
        return new

    def release(self, state: Any, leaf: Leaf) -> None:
        """Ends on one optimizer."""
        self._live = [item for item in self._live if item[0] is not leaf]
        self.finish(state, leaf)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches, after removing what an interrupted `fit` may have left."""
        self._detach()
        self.check_model()
        owner, model = type(self).__name__, self.model
        build_for_optimizers(model)
        self._optimizers = chosen_optimizers(model, self.optimizer, owner)
        self._update_watch = UpdateWatch(
            owner, model, self._optimizers, self.optimizer is not None
        )
        targets = [each.optimizer for each in self._optimizers]
        self._attachment = attach(model, self, optimizer=targets)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Warns after the first epoch if an optimizer has made no update."""
        if self._update_watch is None and not self._live:
            raise ValueError(
                f"{type(self).__name__}: `on_train_begin` must be called before an "
                "epoch ends, because it lets the callback take part in updates. "
                "Received: `on_epoch_end` without it. Call "
                "`callbacks.on_train_begin()` before your loop."
            )
        self._check_updates()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Detaches."""
        self._check_updates()
        self._detach()
        self._optimizers = []

    def optimizer_name(self, leaf: Leaf) -> str:
        """The model's name of the optimizer, such as `"g_optimizer"`.

        Args:
            leaf: `Leaf` that the callback acts on.
        """
        names = [each.name for each in self._optimizers if each.optimizer is leaf.root]
        return names[0] if names else leaf.root.name

    def log_prefix(self, leaf: Leaf) -> str:
        """The prefix of entries in logs, by which optimizers can be told apart.

        It is empty for the only optimizer of a model if none was named; otherwise, it
        is a prefix such as `"g_optimizer_"`.

        Args:
            leaf: `Leaf` that the callback acts on.
        """
        if self.optimizer is None and len(self._optimizers) < 2:
            return ""
        for each in self._optimizers:
            if each.optimizer is leaf.root:
                return log_prefix(each)
        return ""

    def _check_updates(self) -> None:
        if self._update_watch is not None:
            skipped = [leaf.root for leaf, _ in self._live if leaf.num_skipped]
            seen = {id(leaf.root) for leaf, _ in self._live if leaf.entered}
            self._update_watch.warn(skipped, seen)
            self._update_watch.warn_unseen(seen)

    def _detach(self) -> None:
        if self._attachment is not None:
            self._attachment.detach()
            self._attachment = None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with an optimizer as its name."""
        config = super().get_config()
        if "optimizer" in config:
            config["optimizer"] = choice_names(self.optimizer)
        return config

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model and the optimizer, since a copy belongs to neither."""
        return super().__getstate__() | {
            "optimizer": choice_names(self.optimizer),
            "_attachment": None,
            "_optimizers": [],
            "_update_watch": None,
            "_live": [],
        }


def beside(leaf: Leaf, states: list[Any]) -> list[Any]:
    """The states that belong to the other optimizers of a leaf's model.

    Args:
        leaf: `Leaf`.
        states: List of the states that `begin` returned, each with its `leaf`.
    """
    return [
        state
        for state in states
        if state.leaf.root in leaf.roots and state.leaf.optimizer is not leaf.optimizer
    ]
