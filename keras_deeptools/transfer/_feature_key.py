"""What features on disk are known by: weights, layers, data and versions."""

import hashlib
import json
from typing import Any

import keras
import numpy as np

import keras_deeptools
from keras_deeptools.engine import FeatureCut, step_config

FORMAT = 1
"""Of the files; features in another format are not found."""


class RowDigest:
    """A digest of rows that come in batches, however they are cut."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def update(self, x: Any) -> None:
        """Adds the rows of a batch."""
        for path, value in keras.tree.flatten_with_path(x):
            if value is not None:
                rows = np.ascontiguousarray(value)
                name = f"{path} {rows.dtype} {rows.shape[1:]}"
                part = self._parts.setdefault(name, hashlib.blake2b())
                part.update(
                    rows.data if rows.dtype != object else repr(rows.tolist()).encode()
                )

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        parts = {name: part.hexdigest() for name, part in self._parts.items()}
        return _digest(parts)


def feature_key(cut: FeatureCut, data: str, **settings: Any) -> str:
    """The key of the features that a model makes of data.

    Args:
        cut: `FeatureCut`.
        data: Str, digest of the rows.
        **settings: What else they depend on, ready for JSON.
    """
    facts = {
        "format": FORMAT,
        "layers": step_config(cut.steps),
        "weights": cut.digest(),
        "data": data,
        "settings": settings,
        "versions": [keras.__version__, keras_deeptools.__version__],
        "keras": keras.backend.backend(),
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
    }
    if cut.is_random:
        states = [keras.ops.convert_to_numpy(s.value).tolist() for s in cut.states]
        facts["states"] = states
    return _digest(facts)


def _digest(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=20).hexdigest()
