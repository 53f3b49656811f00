"""Waiting for an optimizer to be built in the first step of training."""

import functools
from collections.abc import Callable
from typing import Any

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._keras_private.optimizers import built_for
from keras_deeptools.engine._patching import Replacement
from keras_deeptools.engine._update.leaf import optimizer_parts


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
