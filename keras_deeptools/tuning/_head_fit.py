"""Training the head of a model alone, on features in place of data."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._attributes import replaced
from keras_deeptools.tuning._pooled_features import Rows

POOLINGS = ("head_average", "head_maximum")
FIRST_AFTER_VECTORS = ("head_dropout", "head_outputs")


class HeadFit:
    """The head of a classifier as a model of its own, with the classifier's optimizer.

    Callbacks have this small model for theirs. Weights that they save are those of the
    whole classifier all the same: they are noted at once and written when training has
    ended, as most of a file, the backbone, stays the same.

    Args:
        model: `keras.Model` that `transfer.classifier` made, compiled; its head trains.
    """

    def __init__(self, model: keras.Model) -> None:
        layers = {layer.name: layer for layer in model.layers}
        starts = [layers[name].output for name in POOLINGS if name in layers]
        firsts = [layers[name].input for name in FIRST_AFTER_VECTORS if name in layers]
        self._classifier = model
        self.head = keras.Model(starts or firsts[:1], model.outputs[0])
        self._state: list[Any] = []
        self._saved: dict[str, list[np.ndarray]] = {}

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`, on features.

        Args:
            *args: As in `fit`, features in place of data.
            **kwargs: As in `fit`.
        """
        # As they are now: callbacks give the optimizer more of them for a while.
        self._state = [*self.head.weights, *self._classifier.optimizer.variables]
        with replaced(self.head, "save_weights", self._note):
            history = self.head.fit(*args, **kwargs)
        self._write()
        return history

    def rows(self, rows: Rows) -> Rows:
        """Pooled features as the head takes them, targets and weights as they are."""
        features, y, sample_weight = rows
        taken = features[: len(self.head.inputs)]
        return taken if taken[1:] else taken[0], y, sample_weight

    def _note(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Stands for `save_weights`."""
        self._saved[str(filepath)] = self._values()

    def _write(self) -> None:
        last = self._values()
        for filepath, values in self._saved.items():
            self._assign(values)
            self._classifier.save_weights(filepath, overwrite=True)
        self._assign(last)

    def _values(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(v)) for v in self._state]

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._state, values, strict=True):
            variable.assign(value)
