"""State of a model that lives outside of Keras variables, on torch."""

from typing import Any

import keras


class ModuleState:
    """Buffers, gradients and modes of the torch modules in a model.

    A Keras model on the torch backend is a `torch.nn.Module`; modules of the user's own
    inside it keep buffers (running averages) that are no Keras variables. Elsewhere
    there is nothing to keep.

    Args:
        model: `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        on_torch = keras.backend.backend() == "torch"
        modules = list(model.modules()) if on_torch else []
        parameters = list(model.parameters()) if on_torch else []
        buffers = list(model.buffers()) if on_torch else []
        self._modes: list[tuple[Any, bool]] = [(m, m.training) for m in modules]
        self._gradients: list[tuple[Any, Any]] = [(p, p.grad) for p in parameters]
        self._buffers = [(b, b.detach().clone()) for b in buffers]

    def restore(self) -> None:
        """Puts everything back."""
        for module, training in self._modes:
            module.training = training
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        for buffer, value in self._buffers:
            buffer.detach().copy_(value)
