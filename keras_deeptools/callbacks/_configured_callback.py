"""A callback that can be stored as its arguments, and copied without its model."""

import inspect
from typing import Any, Self

import keras


class ConfiguredCallback(keras.callbacks.Callback):
    """A callback whose constructor's arguments are stored under their own names."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The reverse of `get_config`.

        Args:
            config: Dict of constructor arguments, as `get_config` returns it.
        """
        return cls(**keras.saving.deserialize_keras_object(config))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model: a copy belongs to none."""
        return self.__dict__ | {"_model": None, "params": None}

    def check_model(self) -> None:
        """Raises where nobody has told the callback its model."""
        if self.model is None:
            raise ValueError(
                f"{type(self).__name__}: the model must be known before training "
                "begins. Received: model=None. Make the list of callbacks with it: "
                "`keras.callbacks.CallbackList(callbacks, model=model)`."
            )
