"""One or several passes over data, of which the features are kept."""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.samples import RowBatches, inner_shapes
from keras_deeptools.engine._frozen_features.computation import FeaturePass
from keras_deeptools.engine._frozen_features.cut import FeatureCut
from keras_deeptools.engine._graph.tensors import step_config
from keras_deeptools.transfer._features.store import (
    Arrays,
    FeatureFiles,
    MemoryStore,
    Specs,
)

FORMAT = 1
"""Of the files; features in another format are not found."""


class RowDigest:
    """A digest of samples that come in batches, whatever the sizes of the batches."""

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
        """The digest of all samples so far."""
        parts = {name: part.hexdigest() for name, part in self._parts.items()}
        return _digest(parts)


def feature_key(cut: FeatureCut, data: str, **settings: Any) -> str:
    """The key of the features that a model makes of data.

    Args:
        cut: `FeatureCut`.
        data: Str, digest of the samples.
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


OWNER = "cache_features"

PROBE_TOLERANCE = 1e-2
"""Largest difference between features found and computed, of the largest value."""


@dataclass(frozen=True)
class CacheOptions:
    """How features are computed and kept; the arguments of `cache_features`."""

    batch_size: int
    views: int
    directory: Path | None
    max_bytes: int
    seed: int | None
    verbose: int


@dataclass(frozen=True)
class Computed:
    """Features by name, rows of all views one after the other, and what goes with them.

    Attributes:
        arrays: Dict of arrays `(views * samples, ...)`; of lists of arrays, one for
            each batch, if samples have several lengths or sizes.
        dtypes: Dict from name to the dtype in which the layers give it.
        labels: List of `(y, sample_weight)`, one for each view, from data that hold
            their labels; of lists of them, if samples have several lengths.
        path: Folder of the files, or None.
    """

    arrays: dict[str, Any]
    dtypes: dict[str, str]
    labels: list[tuple[Any, Any]]
    path: Path | None


def compute_features(
    cut: FeatureCut, data: tuple[Any, Any, Any], options: CacheOptions, training: bool
) -> Computed:
    """Runs what is before the cut over data, or finds that it has been done.

    Args:
        cut: `FeatureCut`.
        data: `(x, y, sample_weight)`, as in `fit`.
        options: `CacheOptions`.
        training: Bool, whether layers run as in training.

    Raises:
        ValueError: If the features depend on more than their sample, or take too much
            memory, the data carry targets and others are given, or can be read only
            once and would have to be read again.
    """
    return _Computation(cut, data, options, training).run()


class _Computation:
    def __init__(
        self,
        cut: FeatureCut,
        data: tuple[Any, Any, Any],
        options: CacheOptions,
        training: bool,
    ) -> None:
        x, *labels = data
        self._cut = cut
        self._options = options
        self._settings: dict[str, Any] = {"views": options.views, "training": training}
        if options.views > 1:
            drawn_from = cut.state_values() if options.seed is None else options.seed
            self._settings |= {"seed": drawn_from, "batch": options.batch_size}
        self._is_checked = training and options.views == 1
        self._pass = FeaturePass(cut, options.batch_size, training)
        self._rows = RowBatches(x, options.batch_size, OWNER, labelled=True)
        self._specs: Specs = {}
        self._labels: list[Any] = []
        self._is_even = True
        if self._rows.num_rows is None and any(each is not None for each in labels):
            raise ValueError(
                f"{OWNER}: `y` and `sample_weight` must be None where `x` is no array. "
                f"Received: x of type {type(x).__name__} and one of them. Let the data "
                "give (x, y) or (x, y, sample_weight)."
            )
        once = isinstance(x, Iterator)
        if once and (options.views > 1 or options.directory is not None):
            raise ValueError(
                f"{OWNER}: `x` must be data that can be read again, for views > 1 and "
                f"for `directory`. Received: x of type {type(x).__name__}. Give "
                "arrays, a PyDataset or a tf.data.Dataset."
            )

    def run(self) -> Computed:
        if self._options.directory is not None:
            return self._on_disk(FeatureFiles(self._options.directory))
        views, num_rows = self._options.views, self._rows.num_rows
        total = None if num_rows is None else num_rows * views

        def in_memory(specs: Specs) -> AbstractContextManager[MemoryStore]:
            return nullcontext(
                MemoryStore(specs, total, self._options.max_bytes, OWNER)
            )

        return self._result(self._computed(in_memory, RowDigest(), None), None)

    def _on_disk(self, files: FeatureFiles) -> Computed:
        digest, first = self._digest_of_rows()
        key = self._key(digest)
        found = files.find(key)
        if found is not None:
            if self._agree(found, first):
                return self._result(found, files.path(key))
            found.clear()  # Files that are mapped cannot be moved on every system.
            files.remove(key)
        self._labels.clear()
        digest = RowDigest()
        arrays = self._computed(files.writing, digest, lambda: self._key(digest))
        # Data that shuffle themselves were read in another order than before.
        return self._result(arrays, files.path(self._key(digest)))

    def _computed(
        self,
        opened: Callable[[Specs], AbstractContextManager[Any]],
        digest: RowDigest,
        key: Callable[[], str] | None,
    ) -> Arrays:
        """Features of all views, put where `opened` leads once they are known."""
        bar = self._progress()
        with ExitStack() as stack:
            store: Any = None
            stack.enter_context(self._pass.undone(self._options.seed))
            for _ in range(self._options.views):
                labels: list[Any] = []
                for x, y, sample_weight in self._rows:
                    if store is None:
                        self._specs = self._pass.specs(x)
                        store = stack.enter_context(opened(self._specs))
                        self._check(x)
                    if key is not None:
                        digest.update(x)
                    found = self._pass(x)
                    self._is_even &= self._fits(found, labels, (y, sample_weight))
                    if key is not None and not self._is_even:
                        raise _uneven()
                    store.append(found)
                    labels.append((y, sample_weight))
                    bar.add(1)
                self._labels.append(labels)
            if self._is_even:
                self._labels = [joined(labels) for labels in self._labels]
            if key is None:
                return store.finish(self._is_even)
            return store.finish(key())

    def _fits(self, found: Arrays, labels: list[Any], part: Any) -> bool:
        """Whether a batch has rows of the size that the first one had."""
        shapes = {name: value.shape[1:] for name, value in found.items()}
        expected = {name: tuple(shape) for name, (shape, _) in self._specs.items()}
        first = labels[0] if labels else part
        return shapes == expected and inner_shapes(part) == inner_shapes(first)

    def _check(self, x: Any) -> None:
        oddity = self._pass.oddity(x) if self._is_checked else None
        if oddity is not None:
            raise ValueError(
                f"{OWNER}: what is before the cut must make the same features of a "
                f"row each time. Received: {oddity}. Train with `model.fit` instead, "
                "or give `views`."
            )

    def _digest_of_rows(self) -> tuple[RowDigest, Any]:
        """Reads all data once, and returns their first batch too."""
        digest, first = RowDigest(), None
        for _ in range(self._options.views):
            labels = []
            for x, y, sample_weight in self._rows:
                first = x if first is None else first
                digest.update(x)
                labels.append((y, sample_weight))
            if len({str(inner_shapes(part)) for part in labels}) > 1:
                raise _uneven()
            self._labels.append(joined(labels))
        return digest, first

    def _agree(self, found: Arrays, first: Any) -> bool:
        """Whether a batch computed now has the features that were found.

        Code of layers and of their packages is not part of the key.
        """
        self._specs = self._pass.specs(first)
        if set(found) != set(self._specs):
            return False
        with self._pass.undone(self._options.seed):
            now = self._pass(first)
        for name, values in now.items():
            then = np.asarray(found[name][: len(values)], "float64")
            if then.shape != values.shape:
                return False
            limit = PROBE_TOLERANCE * np.max(np.abs(values), initial=1e-30)
            if not np.all(np.abs(then - values) <= limit):
                return False
        return True

    def _key(self, digest: RowDigest) -> str:
        return feature_key(self._cut, digest.hexdigest(), **self._settings)

    def _result(self, arrays: Arrays, path: Path | None) -> Computed:
        dtypes = {name: dtype for name, (_, dtype) in self._specs.items()}
        return Computed(arrays, dtypes, self._labels, path)

    def _progress(self) -> Any:
        num_rows = self._rows.num_rows
        total = None
        if num_rows is not None:
            total = self._options.views * math.ceil(num_rows / self._options.batch_size)
        verbose = self._options.verbose
        return keras.utils.Progbar(total, verbose=verbose, unit_name="batch")


def _uneven() -> ValueError:
    return ValueError(
        f"{OWNER}: `directory` must be None for features of several lengths or sizes, "
        "which cannot be kept in files. Received: batches of different shapes. Leave "
        "out `directory`, or pool the outputs of the frozen layers before the cut."
    )


def joined(parts: list[Any]) -> Any:
    """Structures of arrays, one after the other; None stays None.

    Raises:
        ValueError: If there are none.
    """
    if not parts:
        raise ValueError(
            f"{OWNER}: `x` must hold rows. Received: none. Check the data."
        )
    return keras.tree.map_structure(
        lambda *each: None if each[0] is None else np.concatenate(each), *parts
    )
