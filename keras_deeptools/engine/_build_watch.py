"""Waiting for an optimizer to be built in the first step of training."""

import functools
from collections.abc import Callable
from typing import Any

from keras_deeptools.engine._leaf import optimizer_parts
from keras_deeptools.engine._tensors import tensors


class BuildWatch:
    """Tells when an optimizer is built and all its variables have values.

    Where nothing is traced that is the end of its `build`. On TensorFlow the variables
    that a trace creates have no values in it; the step is then traced a second time,
    and the optimizer is ready when that trace applies gradients.

    Args:
        optimizer: Keras optimizer.
        ready: Function that is called once, with `late=True`.
    """

    def __init__(self, optimizer: Any, ready: Callable[..., None]) -> None:
        self._optimizer = optimizer
        self._ready = ready
        self._replaced: dict[str, Any] | None = None

    def start(self) -> None:
        """Begins to watch; does nothing if it does already."""
        if self._replaced is not None:
            return
        attributes = vars(self._optimizer)
        build, apply = self._optimizer.build, self._optimizer.apply
        self._replaced = {name: attributes.get(name) for name in ("build", "apply")}

        @functools.wraps(build)
        def build_and_tell(*args: Any, **kwargs: Any) -> None:
            build(*args, **kwargs)
            self._tell()

        @functools.wraps(apply)
        def tell_and_apply(*args: Any, **kwargs: Any) -> Any:
            self._tell()
            return apply(*args, **kwargs)

        attributes["build"], attributes["apply"] = build_and_tell, tell_and_apply

    def end(self) -> None:
        """Gives the methods back; does nothing if they are."""
        replaced, self._replaced = self._replaced, None
        for name, method in (replaced or {}).items():
            if method is None:
                vars(self._optimizer).pop(name, None)
            else:
                vars(self._optimizer)[name] = method

    def _tell(self) -> None:
        if self._replaced is None or not self._is_ready():
            return
        self.end()
        with tensors.between_steps():
            self._ready(late=True)

    def _is_ready(self) -> bool:
        parts = [part for part in optimizer_parts(self._optimizer) if part.built]
        if self._optimizer not in parts:
            return False
        own = [variable for part in parts for variable in part.variables]
        trained = [v for part in parts for v in part._trainable_variables]
        return tensors.have_values([*own, *trained])
