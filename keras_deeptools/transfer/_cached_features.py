"""Features that the rest of a model trains on."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.engine import FeatureCut


class CachedFeatures:
    """What the frozen part of a model made of data; made by `cache_features`.

    Attributes:
        model: `keras.Model`, the one that trains.
        features: List of arrays `(rows, ...)`, one for each tensor that crosses the
            cut, memory-mapped where they are on disk.
        num_bytes: Int, what they take, all views together.
        views: Int, passes over the data.
        path: `pathlib.Path` of the folder with the files, or None.
    """

    def __init__(
        self,
        cut: FeatureCut,
        arrays: dict[str, np.ndarray],
        data: tuple[Any, Any, Any],
        views: int,
    ) -> None:
        self.model = cut.model
        self.views = views
        self.path = None
        self._cut = cut
        self._arrays = arrays
        self._data = data

    @property
    def features(self) -> list[np.ndarray]:
        """The arrays, without masks."""
        return [v for name, v in self._arrays.items() if not name.endswith("_mask")]

    @property
    def num_bytes(self) -> int:
        """Int, bytes of all arrays and views."""
        return sum(array.nbytes for array in self._arrays.values())

    def is_current(self) -> bool:
        """Whether the model would still make the same features of the data."""
        return True

    def fit(
        self,
        *,
        validation_data: Any = None,
        **arguments: Any,
    ) -> keras.callbacks.History:
        """Trains the model from the cut on, as `model.fit` trains all of it.

        Same optimizer, with its state; same losses, metrics, callbacks and History. If
        something before the cut is unfrozen in between, the next epoch and those after
        it train on the data.

        Args:
            validation_data: As in `fit`, or `CachedFeatures` of them; the features of
                data are computed once.
            **arguments: What else `fit` takes (`epochs`, `batch_size`, `shuffle`,
                `class_weight`, `callbacks`, `verbose`, ...), but for the data.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: If the features are out of date.
        """
        dtypes = {name: str(array.dtype) for name, array in self._arrays.items()}
        x, y, sample_weight = self._data
        if validation_data is not None:
            validation_data = self._prepared(validation_data)
        with self._cut.fed(dtypes):
            return self.model.fit(
                self._arrays,
                y,
                sample_weight=sample_weight,
                validation_data=validation_data,
                **arguments,
            )

    def _prepared(self, data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        trunk = self._cut.trunk(training=False)
        features = trunk.predict(x, verbose=0)
        return keras.utils.pack_x_y_sample_weight(features, y, sample_weight)
