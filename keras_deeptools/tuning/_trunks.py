"""The backbones of a search: each made once, whatever the number of trials."""

from typing import Any, TypeAlias

import keras

from keras_deeptools.engine import copy_adapted_state, seeded
from keras_deeptools.transfer import backbone, freeze

Backbones: TypeAlias = dict[str, str | keras.Model]
"""Name in the search -> name in `keras.applications`, or a model."""


class Trunks:
    """Backbones by name, one for all trials that only read it, copies for the others.

    All that is drawn for fresh weights comes from the seed, so that every process of a
    search, and whoever loads its models later, has the same ones.

    Args:
        backbones: Dict from a name to the name of an application or a `keras.Model`,
            which stays as it is.
        input_shape: Tuple, of the images that applications take; or None.
        weights: As in `transfer.backbone`, of applications.
        seed: Int >= 0.
    """

    def __init__(
        self,
        backbones: Backbones,
        input_shape: tuple[int | None, ...] | None,
        weights: str | None,
        seed: int,
    ) -> None:
        # A model that is not compiled can be copied before its first step, too.
        self._backbones = {
            name: copied(found) if isinstance(found, keras.Model) else found
            for name, found in backbones.items()
        }
        self._input_shape = input_shape
        self._weights = weights
        self._seed = seed
        self._made: dict[str, keras.Model] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What is made is made again by a copy."""
        return {**self.__dict__, "_made": {}}

    def shared(self, name: str) -> keras.Model:
        """The frozen backbone of all trials that train a head alone."""
        if name not in self._made:
            with seeded(self._seed):
                self._made[name] = self._fresh(name)
            freeze(self._made[name])
        return self._made[name]

    def copy(self, name: str) -> keras.Model:
        """A backbone for one trial to train, with the weights of the shared one."""
        return copied(self.shared(name))

    def _fresh(self, name: str) -> keras.Model:
        found = self._backbones[name]
        if isinstance(found, keras.Model):
            return found
        return backbone(found, self._input_shape, self._weights)


def copied(model: keras.Model) -> keras.Model:
    """Another model of the same layers, flags and values."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    copy_adapted_state(model, twin)
    return twin
