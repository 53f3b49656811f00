"""What backbones make of the data of a search, computed once."""

import contextlib
import importlib.util
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_deeptools.engine._state.adapted_state import copy_adapted_state
from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.transfer import (
    CachedFeatures,
    InferenceMode,
    backbone,
    cache_features,
    freeze,
)
from keras_deeptools.transfer._backbones.classifier import pooling_layer

Rows: TypeAlias = tuple[Any, Any, Any]
"""`(features, y, sample_weight)`, as `fit` takes them."""


@dataclass(frozen=True)
class _Kept:
    """Features with what they were made of, which must stay the same objects."""

    made_of: tuple[Any, ...]
    train: Rows
    validation: Rows | None


class PooledFeatures:
    """Features of backbones, averaged (and their maxima taken) over the image.

    A head learns from them as it would behind the backbone, which runs at inference.
    They are computed in one pass for both kinds of head. In a process they stay in
    memory for the trials that follow; with a folder they are found there by every other
    process, and of several that need them at once one computes them.

    Args:
        heads: Kinds of head in the search, as in `transfer.classifier`.
    """

    def __init__(self, heads: Sequence[str]) -> None:
        self._poolings = ["avg", "max"] if "concat" in heads else ["avg"]
        self._kept: dict[str, _Kept] = {}

    def __getstate__(self) -> dict[str, Any]:
        """A copy computes its own."""
        return {**self.__dict__, "_kept": {}}

    def of(
        self,
        name: str,
        trunk: keras.Model,
        data: tuple[Any, Any, Any],
        validation: Any,
        directory: Path | None,
    ) -> tuple[Rows, Rows | None]:
        """Samples to train and to validate a head on.

        Args:
            name: Str, of the backbone in the search.
            trunk: `keras.Model`, the frozen backbone.
            data: `(x, y, sample_weight)`, as in `fit`.
            validation: As `validation_data` of `fit`.
            directory: Folder that all processes of the search share, or None.
        """
        made_of = (trunk, *data, *_parts(validation))
        kept = self._kept.get(name)
        if kept is None or not _same(kept.made_of, made_of):
            with _alone(directory, name):
                cached = self._computed(trunk, data, directory)
                held = None
                if validation is not None:
                    parts = keras.utils.unpack_x_y_sample_weight(validation)
                    held = self._rows(cached.for_validation(*parts))
            kept = _Kept(made_of, self._rows(cached), held)
            self._kept[name] = kept
        return kept.train, kept.validation

    def _computed(
        self, trunk: keras.Model, data: tuple[Any, Any, Any], directory: Path | None
    ) -> CachedFeatures:
        """The features, from a model of poolings and something to train."""
        inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in trunk.inputs]
        inputs = inputs if len(inputs) > 1 else inputs[0]
        pooled = InferenceMode(trunk, name="trunk")(inputs)
        rank = len(pooled.shape)
        if rank > 2:
            made = [
                pooling_layer(each, rank, name=f"pooled_{each}")(pooled)
                for each in self._poolings
            ]
            pooled = made[0]
            if made[1:]:
                pooled = keras.layers.Concatenate(name="pooled")(made)
        outputs = keras.layers.Dense(1, name="any_head")(pooled)
        model = keras.Model(inputs, outputs, name="pooled_features")
        return cache_features(model, *data, directory=directory, verbose=0)

    def _rows(self, cached: CachedFeatures) -> Rows:
        """One array for each pooling, in memory."""
        features = np.array(cached.features[0])
        _, y, sample_weight = cached.rows()
        return np.split(features, len(self._poolings), axis=-1), y, sample_weight


def _parts(validation: Any) -> tuple[Any, ...]:
    return validation if isinstance(validation, tuple) else (validation,)


def _same(these: tuple[Any, ...], those: tuple[Any, ...]) -> bool:
    return [id(each) for each in these] == [id(each) for each in those]


@contextlib.contextmanager
def _alone(directory: Path | None, name: str) -> Iterator[None]:
    """A block that one process at a time is in, where the system has locks of files.

    Elsewhere several processes compute the same features, and one result stays.
    """
    if directory is None or importlib.util.find_spec("fcntl") is None:
        yield
        return
    locks = importlib.import_module("fcntl")
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{zlib.crc32(name.encode()):08x}.lock").open("w") as file:
        with contextlib.suppress(OSError):
            locks.flock(file, locks.LOCK_EX)
        yield


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
