"""Trains with one batch size after another, and measures how fast."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools.engine import preserved
from keras_deeptools.engine._backends.common import (
    is_out_of_memory,
    on_host,
    release_memory,
)
from keras_deeptools.engine._data.fit_batches import Batches
from keras_deeptools.engine._data.samples import concatenated, num_rows
from keras_deeptools.engine._data.step_errors import explained_step

OWNER = "find_batch_size"
GAIN = 1.05
"""How much faster a batch size must be than those before it to count as faster."""


class Trials:
    """Trains with one batch size after another, from the same state each time."""

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        seconds: float,
        min_steps: int,
        is_verbose: bool,
    ) -> None:
        self.speeds: dict[int, float] = {}
        self.notes: list[str] = []
        self._trained = model
        self._batches = batches
        self._timing = (seconds, min_steps)
        self._is_verbose = is_verbose

    def build(self) -> None:
        """Builds what `fit` would build."""
        with explained_step(OWNER, self._trained, self._batches.sample):
            self._batches.build()

    def double(
        self, batches: Iterator[Any], size: int, most: int, until_full: bool
    ) -> None:
        """Tries `size` and its doubles, until one is of no use.

        Args:
            batches: Iterator over the batches of the data.
            size: Int, the first batch size.
            most: Int, the largest batch size to try.
            until_full: Bool. Whether to look for the limit of the memory.
        """
        samples = _Samples(batches)
        growth, idle, best = _MemoryGrowth(), 0, 0.0
        while size <= most:
            batch = samples.first(size)
            if batch is None:
                break
            speed = self._tried(size, batch)
            if np.isnan(speed):
                self.notes.append(f"Ended by the memory, at {size} samples.")
                if until_full:
                    self._narrow(samples, size // 2, size)
                return
            idle = 0 if speed > GAIN * best else idle + 1
            best = max(best, speed)
            if idle == 2 and not until_full:
                self.notes.append("Ended because larger batches are not faster.")
                return
            if growth.exceeds_the_rest():
                self.notes.append("Ended before the memory of the host was full.")
                return
            size *= 2
        if not self.speeds:
            rule = "at most the number of samples"
            raise ValueError(message(OWNER, "min_batch_size", rule, size))
        limit = f"`max_batch_size`, {most}" if size > most else "the number of samples"
        self.notes.append(f"Ended by {limit}.")

    def _narrow(self, samples: "_Samples", fits: int, fails: int) -> None:
        """Halves the distance between what fits and what does not, three times."""
        for _ in range(3):
            middle = (fits + fails) // 2
            if fits < middle:
                speed = self._tried(middle, samples.first(middle))
                fits, fails = (fits, middle) if np.isnan(speed) else (middle, fails)

    def _tried(self, size: int, batch: Any) -> float:
        """Samples per second, noted; NaN if the memory does not suffice."""
        speed = float("nan")
        clock = _Clock(*self._timing)
        try:
            with (
                explained_step(OWNER, self._trained, lambda: batch),
                preserved(self._trained),
            ):
                self._trained.stop_training = False
                self._trained.fit(
                    _Same(batch), verbose=0, callbacks=[clock], shuffle=False
                )
                speed = size * clock.steps_per_second
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if not self.speeds:
                raise MemoryError(
                    f"{OWNER}: `min_batch_size` must fit into memory. Received: "
                    f"min_batch_size={size}. Take a smaller one or a smaller model."
                ) from error
        if np.isnan(speed):
            release_memory()
        self.speeds[size] = speed
        if self._is_verbose:
            print(f"{OWNER}: batch size {size}, {speed:.4g} samples per second")
        return speed


class _MemoryGrowth:
    """Watches the memory of the process, which a system may end when there is none.

    Only accelerators raise an error then. Where the system does not tell, nothing is
    watched.
    """

    def __init__(self) -> None:
        self._most = self._peak()

    def exceeds_the_rest(self) -> bool:
        """Whether twice the latest growth, for twice the size, may not be there."""
        before, self._most = self._most, self._peak()
        if before is None or self._most is None:
            return False
        try:
            lines = Path("/proc/meminfo").read_text().splitlines()
        except OSError:
            return False
        numbers = dict(line.split(":") for line in lines)
        free = 1024 * int(numbers["MemAvailable"].split()[0])
        return 2 * (self._most - before) > 0.8 * free

    @staticmethod
    def _peak() -> int | None:
        try:
            import resource
        except ImportError:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


class _Samples:
    """The first samples of the data, as many as have been asked for."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._left = batches
        self._parts: list[Any] = []
        self._length = 0

    def first(self, size: int) -> Any:
        """The first `size` samples; None if there are fewer."""
        while self._length < size:
            part = next(self._left, None)
            if part is None:
                return None
            part = keras.tree.map_structure(_array, part)
            self._parts.append(part)
            self._length += num_rows(part)
        try:
            whole = keras.tree.map_structure(concatenated, *self._parts)
        except ValueError as error:
            raise ValueError(
                f"{OWNER}: `x` must have samples of one shape, to cut batches from "
                "them. Received: batches of different shapes. Pad the samples to one "
                "length."
            ) from error
        self._parts = [whole]
        return keras.tree.map_structure(
            lambda value: None if value is None else value[:size], whole
        )


def _array(value: Any) -> Any:
    return on_host(value) if keras.ops.is_tensor(value) else np.asarray(value)


class _Same(keras.utils.PyDataset):
    """One batch, as often as it is wanted."""

    def __init__(self, batch: Any) -> None:
        super().__init__()
        self._batch = batch

    def __len__(self) -> int:
        return 2**20

    def __getitem__(self, index: int) -> Any:
        return self._batch


class _Clock(keras.callbacks.Callback):
    """Times the steps of a `fit`, in several windows, and ends it.

    The first call is left out, since it compiles the step. A window ends by reading the
    loss, for which backends that run ahead have to wait.
    """

    def __init__(self, seconds: float, min_steps: int) -> None:
        super().__init__()
        self._seconds = seconds
        self._min_steps = min_steps
        self._begin = self._window = 0.0
        self._first: int | None = None
        self._last = 0
        self._found: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Ends a window of time, or the training."""
        now = time.perf_counter()
        if self._first is not None and now - self._window < self._seconds / 8:
            return
        for value in (logs or {}).values():
            on_host(value)
        now = time.perf_counter()
        if self._first is None:
            self._begin, self._first = now, batch
        else:
            self._found.append((batch - self._last) / (now - self._window))
            long = now - self._begin >= self._seconds
            if long and batch - self._first >= self._min_steps:
                self.model.stop_training = True
        self._window, self._last = now, batch

    @property
    def steps_per_second(self) -> float:
        """In the fastest window, since other processes only make steps slower."""
        return max(self._found)
