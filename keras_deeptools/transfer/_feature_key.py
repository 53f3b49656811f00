"""What features on disk are known by: weights, layers, data and versions."""

import hashlib
import json
import sys
from typing import Any

import keras
import numpy as np

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
                part.update(_content(rows))

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
        "versions": [keras.__version__, _own_version()],
        "keras": keras.backend.backend(),
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
    }
    return _digest(facts)


def _own_version() -> str:
    """The version of the package, which is above what this file may import."""
    return str(sys.modules[__name__.partition(".")[0]].__version__)


def _content(rows: np.ndarray) -> Any:
    """The bytes of numbers; how strings and other objects are written."""
    return repr(rows.tolist()).encode() if rows.dtype == object else rows.data


def _digest(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=20).hexdigest()
