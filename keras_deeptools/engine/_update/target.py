"""What `attach` is given, a model or an optimizer, and waiting until it is built."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._graph.layers import models_alive
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._keras_private.optimizers import built_for
from keras_deeptools.engine._patching import Replacement
from keras_deeptools.engine._update.leaf import leaf_optimizers, optimizer_parts
from keras_deeptools.engine._update.model_optimizers import (
    chosen_optimizers,
    model_optimizers,
)
from keras_deeptools.engine._update.step_reads import has_own_train_step


def resolved(target: Any, optimizer: Any = None) -> list[tuple[Any, Any]]:
    """Each optimizer of what was passed to `attach`, with its model, or raise."""
    if isinstance(target, keras.Model):
        chosen = chosen_optimizers(target, optimizer)
        return [(each.optimizer, target) for each in chosen]
    if isinstance(target, keras.optimizers.Optimizer):
        if optimizer is not None:
            raise ValueError(
                "attach: `optimizer` chooses among the optimizers of a model. "
                f"Received: optimizer={optimizer!r} with an optimizer as the target. "
                "Pass the model, or leave `optimizer` out."
            )
        models = _models_using(target)
        if len(models) > 1:
            names = ", ".join(repr(model.name) for model in models)
            raise ValueError(
                "attach: an optimizer of several models must be attached through one "
                f"of them. Received: target={target.name!r}, which {names} use. Call "
                "`attach(model, ..., optimizer=optimizer)`."
            )
        if models:
            chosen = chosen_optimizers(models[0], target)
            return [(each.optimizer, models[0]) for each in chosen]
        return [(target, None)]
    raise TypeError(
        "attach: `target` must be a compiled keras.Model or a Keras optimizer. "
        f"Received: target={target!r} of type {type(target).__name__}. In a loop of "
        "your own, pass the Keras optimizer whose `apply` it calls; what another "
        "optimizer does, such as one of torch or optax, cannot be seen."
    )


def own_choice(feature: Any, optimizer: Any) -> Any:
    """Which optimizers a feature acts on: its own choice, or that of `attach`."""
    return getattr(feature, "optimizer", None) if optimizer is None else optimizer


def _models_using(optimizer: Any) -> list[Any]:
    """The compiled models that hold an optimizer, whose compiled steps contain it."""
    return [model for model in models_alive() if _uses(model, optimizer)]


def _uses(model: Any, optimizer: Any) -> bool:
    if not getattr(model, "compiled", False):
        return False
    held = [getattr(model, "optimizer", None)]
    if has_own_train_step(model):
        held += [each.optimizer for each in model_optimizers(model)]
    return any(part is optimizer for each in held for part in optimizer_parts(each))


def is_built(optimizer: Any, model: Any) -> bool:
    """Whether an optimizer is built, after building it where its variables are known.

    They are known where Keras' own train step will give it those of a model that is
    built throughout. Elsewhere the first update tells, on TensorFlow inside the trace.
    """
    if optimizer.built:
        return True
    if model is None or not _variables_are_known(optimizer, model):
        return False
    if not model.trainable_variables:
        raise ValueError(
            "attach: the model must have trainable variables. Received: "
            f"model={model.name!r}, where all layers are frozen or have no weights. "
            "Set `layer.trainable = True` where it should train, and compile again."
        )
    # A MultiOptimizer whose optimizers a function gives knows none before.
    first, *_ = [*leaf_optimizers(optimizer), optimizer]
    with training.variable_scope(first):
        optimizer.build(model.trainable_variables)
    return True


def _variables_are_known(optimizer: Any, model: Any) -> bool:
    if optimizer is not model.optimizer:
        return False
    if not all(layer.built for layer in flat_layers(model)):
        return False
    # Elsewhere `fit` itself builds the optimizer so, whatever the step is.
    return not (training.BUILDS_IN_STEP and has_own_train_step(model))


class BuildWatch:
    """Tells when an optimizer is built and all its variables have values.

    Where nothing is traced that is the end of its `build`. On TensorFlow the variables
    that a trace creates have no values in it; the step is then traced a second time,
    and the optimizer is ready where that trace begins.

    Args:
        optimizer: Keras optimizer.
        model: `keras.Model` that it trains, or None.
        ready: Function that is called once, with `late=True`.
    """

    def __init__(self, optimizer: Any, model: Any, ready: Callable[..., None]) -> None:
        self._optimizer = optimizer
        self._model = model
        self._ready = ready
        self._replaced: list[Replacement] = []
        self._in_step = self._again = False
        self._reason: Any = None

    def start(self) -> None:
        """Begins to watch; does nothing if it does already."""
        if self._replaced:
            return
        build, apply = self._optimizer.build, self._optimizer.apply

        @functools.wraps(build)
        def build_and_tell(*args: Any, **kwargs: Any) -> None:
            build(*args, **kwargs)
            if self._in_step and training.tracing():
                # What was waited for may act on the step from its beginning.
                self._reason = self._reason or training.reason_to_trace_again()
            else:
                self._tell()

        @functools.wraps(apply)
        def tell_and_apply(*args: Any, **kwargs: Any) -> Any:
            self._tell()
            return apply(*args, **kwargs)

        self._replace(self._optimizer, "build", build_and_tell)
        self._replace(self._optimizer, "apply", tell_and_apply)
        if self._model is not None and training.BUILDS_IN_STEP:
            train_step = self._model.train_step

            @functools.wraps(train_step)
            def tell_and_train(*args: Any, **kwargs: Any) -> Any:
                if not self._replaced:
                    # This watch has ended, but that of another optimizer, which still
                    # waits, calls what it found here.
                    return train_step(*args, **kwargs)
                self._tell()
                if not self._replaced and not self._again:
                    # What has joined meanwhile; it may lead here another time, by way
                    # of optimizers that are still waited for.
                    self._again = True
                    try:
                        return self._model.train_step(*args, **kwargs)
                    finally:
                        self._again = False
                self._in_step = True
                try:
                    return train_step(*args, **kwargs)
                finally:
                    self._in_step = False

            self._replace(self._model, "train_step", tell_and_train)

    def end(self) -> None:
        """Gives the methods back; does nothing if they are."""
        for replacement in reversed(self._replaced):
            replacement.undo()
        self._replaced = []

    def _replace(self, holder: Any, name: str, method: Any) -> None:
        self._replaced.append(Replacement(holder, name, method))

    def _tell(self) -> None:
        if not self._replaced or not self._is_ready():
            return
        self.end()
        with training.between_steps():
            self._ready(late=True)

    def _is_ready(self) -> bool:
        parts = [part for part in optimizer_parts(self._optimizer) if part.built]
        if not any(part is self._optimizer for part in parts):
            return False
        own = [variable for part in parts for variable in part.variables]
        trained = [v for part in parts for v in built_for(part)]
        return training.have_values([*own, *trained])
