"""Monitors of the gradient noise scale and the sharpness, on probe samples."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_float,
    checked_option,
    checked_rate,
    checked_seed,
)
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import text_table
from keras_deeptools.engine import Capture
from keras_deeptools.engine._backends.common import on_host

UNITS = ("epoch", "batch")


class ProbeMonitor(keras.callbacks.Callback):
    """Base class that measures on given samples every so many epochs or batches.

    Args:
        x: Array or nested structure of arrays, as the model takes them.
        y: Targets in the same way.
        num_samples: Int > 0. Number of samples in a measurement.
        every: Int > 0.
        unit: `"epoch"` or `"batch"`.
        seed: Int or None.
    """

    names: tuple[str, ...] = ()
    shown = ""

    def __init__(
        self, x: Any, y: Any, num_samples: int, every: int, unit: str, seed: int | None
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        self.x, self.y = x, y
        length = {len(each) for each in keras.tree.flatten((x, y))}
        if len(length) != 1:
            raise ValueError(
                f"{owner}: `x` and `y` must have as many samples. Received: "
                f"{sorted(length)}. Give arrays, with a target for each sample."
            )
        least = checked_count(owner, "num_samples", num_samples, 2)
        self.num_samples = min(least, *length)
        self.every = checked_count(owner, "every", every)
        self.unit = checked_option(owner, "unit", unit, UNITS)
        self.seed = checked_seed(owner, seed)
        self._forget()

    def _forget(self) -> None:
        self.history: dict[str, list[float]] = {name: [] for name in self.names}
        self._random = np.random.default_rng(self.seed)
        self._capture: Capture | None = None
        self._batches = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Begins a new history."""
        self._forget()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Measures after the batch before this one, where batches are counted."""
        if batch:
            self._count_batch()

    def _count_batch(self) -> None:
        self._batches += 1
        if self.unit == "batch" and self._batches % self.every == 0:
            self._measure(self._batches)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measures after the last batch or the epoch, and adds to the logs."""
        self._count_batch()
        if self.unit == "epoch" and (epoch + 1) % self.every == 0:
            self._measure(epoch + 1)
        if logs is not None and self.history[self.shown]:
            logs[self.shown] = self.history[self.shown][-1]

    def _measure(self, count: int) -> None:
        measured = self.measure()
        for name, number in ({self.unit: count} | measured).items():
            self.history.setdefault(name, []).append(float(number))

    def measure(self) -> dict[str, float]:
        """Returns the numbers that the subclass measures, for the present model."""
        raise NotImplementedError

    def _gradient(self, rows: np.ndarray) -> np.ndarray:
        """The gradient of the mean loss over some samples, as one float64 vector."""
        if self._capture is None:
            self._capture = Capture(self.model, weights=lambda variable, g: g)
        x, y = keras.tree.map_structure(
            lambda each: np.asarray(each)[rows], (self.x, self.y)
        )
        found = self._capture(x, y).weights
        parts = [found[v.path].ravel() for v in self.model.trainable_variables]
        return np.concatenate(parts).astype("float64")

    def table(self) -> str:
        """A line for each measurement, then the meaning of the latest one."""
        names = [self.unit, *self.names]
        columns = [self.history.get(name, []) for name in names]
        rows = [
            [f"{row[0]:.0f}", *(f"{number:.3g}" for number in row[1:])]
            for row in zip(*columns, strict=True)
        ]
        return "\n".join([text_table(names, rows), self.meaning()])

    def meaning(self) -> str:
        """The latest measurement in words."""
        raise NotImplementedError

    def plot(self, path: str | None = None, ax: Any = None) -> Any:
        """Draws the measurements; returns the figure.

        Args:
            path: Str or None. File to write the picture to.
            ax: Axes of matplotlib to draw on, or None for new ones.
        """
        ax = new_axes(f"{type(self).__name__}.plot") if ax is None else ax
        ax.plot(self.history.get(self.unit, []), self.history[self.shown], marker="o")
        ax.set_xlabel(self.unit)
        ax.set_ylabel(self.shown.replace("_", " "))
        ax.set_yscale("log")
        if path is not None:
            ax.figure.savefig(path)
        return ax.figure

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model: a copy belongs to no model."""
        return self.__dict__ | {"_model": None, "params": None, "_capture": None}


class GradientNoiseScale(ProbeMonitor):
    """Estimates up to which size larger batches pay off: the simple noise scale.

    The gradient of a batch is the gradient of all data plus noise, whose variance falls
    with the batch size. The noise scale is the batch size at which both are equally
    large: with batches far below it, twice the batch size allows nearly half the
    updates; far above it, larger batches save few updates. The noise scale grows while
    the loss falls, often by a factor of ten and more.

    It is estimated from the squared norms of gradients of `num_parts` small batches and
    of all of them together. The samples are drawn again for each measurement; dropout
    is off, and BatchNormalization uses its statistics as in prediction. Neither
    training nor its random numbers change.

    Args:
        x: Array or nested structure of arrays, as the model takes them. Training data.
        y: Targets in the same way.
        num_samples: Int >= 2. Number of samples in a measurement; all samples if there
            are fewer.
        num_parts: Int >= 2. Number of small batches that the samples are split into.
        every: Int > 0. Measure every so many epochs or batches.
        unit: `"epoch"` or `"batch"`.
        decay: Float in [0, 1). The noise scale is the quotient of two estimates, which
            are averaged over measurements; this is the fraction of the average that is
            kept at each measurement.
        seed: Int >= 0 or None. Seed for drawing the samples.

    Attributes:
        history: Dict of lists with a number for each measurement of the last `fit`:
            `"epoch"` or `"batch"`, counted from 1; `"noise_scale"`, infinity where the
            gradient cannot be distinguished from noise; `"squared_norm"`, the squared
            norm of the gradient of all data, estimated; `"noise"`, the trace of the
            covariance of the gradients of single samples.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import GradientNoiseScale
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> y = x[:, :1] + np.random.default_rng(1).normal(size=(64, 1))
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> monitor = GradientNoiseScale(x, y, seed=0)
    >>> history = model.fit(x, y, epochs=2, callbacks=[monitor], verbose=0)
    >>> monitor.history["epoch"]
    [1.0, 2.0]

    Reference:
        McCandlish et al., 2018, appendix A.1. https://arxiv.org/abs/1812.06162
    """

    names = ("noise_scale", "squared_norm", "noise")
    shown = "noise_scale"

    def __init__(
        self,
        x: Any,
        y: Any,
        num_samples: int = 256,
        num_parts: int = 8,
        every: int = 1,
        unit: str = "epoch",
        decay: float = 0.9,
        seed: int | None = None,
    ) -> None:
        self._averages = np.zeros(2)
        super().__init__(x, y, num_samples, every, unit, seed)
        owner = "GradientNoiseScale"
        self.num_parts = checked_count(owner, "num_parts", num_parts, 2)
        if self.num_parts > self.num_samples:
            raise ValueError(
                f"{owner}: `num_parts` must be at most the number of samples, which is "
                f"{self.num_samples}. Received: num_parts={num_parts!r}. Give more."
            )
        self.decay = checked_rate(owner, "decay", decay)

    def _forget(self) -> None:
        super()._forget()
        self._averages = np.zeros(2)

    def measure(self) -> dict[str, float]:
        """Returns the noise scale, and the two averages whose quotient it is."""
        small = self.num_samples // self.num_parts
        large = small * self.num_parts
        length = len(keras.tree.flatten(self.x)[0])
        rows = self._random.permutation(length)[:large].reshape(self.num_parts, small)
        gradients = [self._gradient(part) for part in rows]
        of_small = float(np.mean([g @ g for g in gradients]))
        mean = np.mean(gradients, axis=0)
        of_large = float(mean @ mean)
        norm = (large * of_large - small * of_small) / (large - small)
        noise = (of_small - of_large) / (1 / small - 1 / large)
        now = np.array([norm, noise])
        self._averages = self.decay * self._averages + (1 - self.decay) * now
        norm, noise = self._averages
        scale = noise / norm if norm > 0 else np.inf
        weight = 1 - self.decay ** (len(self.history["noise"]) + 1)
        return {
            "noise_scale": scale,
            "squared_norm": norm / weight,
            "noise": noise / weight,
        }

    def meaning(self) -> str:
        """What the latest noise scale means for the batch size."""
        if not self.history["noise_scale"]:
            return "Nothing has been measured yet."
        scale = self.history["noise_scale"][-1]
        if not np.isfinite(scale):
            return (
                "The gradient cannot be told from noise with these samples: measure "
                "with more of them."
            )
        return (
            f"Batches well below {scale:.0f} samples waste none of them: twice the "
            "batch size needs nearly half the updates. Batches well above save few "
            "updates."
        )


class SharpnessMonitor(ProbeMonitor):
    """Follows the sharpness of the loss: the largest eigenvalue of its Hessian.

    The eigenvalue says how fast the slope changes in the direction in which it changes
    fastest. Gradient descent with a learning rate over 2 / sharpness overshoots in that
    direction; training with a constant learning rate often raises the sharpness to
    about the value at which that happens (Cohen et al., 2021). Adaptive optimizers and
    momentum move this limit.

    The eigenvalue is found by power iteration, with the product of the Hessian and a
    vector as a central difference of two gradients, so that it works for every layer.
    The samples are the same in each measurement; dropout is off, and BatchNormalization
    uses its statistics as in prediction. Neither training nor its random numbers
    change. A measurement takes up to two gradients of the samples for each iteration,
    in the precision of the model: with half precision it is a rough number.

    Args:
        x: Array or nested structure of arrays, as the model takes them. Training data.
        y: Targets in the same way.
        num_samples: Int >= 2. How many of the samples are used, the same each time.
        num_iterations: Int > 0. Largest number of iterations of a measurement. The next
            measurement begins with the direction that was found last.
        tolerance: Float > 0. Relative change of the eigenvalue below which the
            iteration ends.
        every: Int > 0. Measure every so many epochs or batches.
        unit: `"epoch"` or `"batch"`.
        seed: Int >= 0 or None. Seed for the choice of samples and the first direction.

    Attributes:
        history: Dict of lists with a number for each measurement of the last `fit`:
            `"epoch"` or `"batch"`, counted from 1; `"sharpness"`; `"learning_rate"`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import SharpnessMonitor
    >>> x = np.eye(4)[:, :2] * 2
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> monitor = SharpnessMonitor(x, np.ones((4, 1)), seed=0)
    >>> history = model.fit(x, np.ones((4, 1)), callbacks=[monitor], verbose=0)
    >>> round(monitor.history["sharpness"][0], 1)
    3.4

    Reference:
        Cohen et al., 2021, section 2. https://arxiv.org/abs/2103.00065
    """

    names = ("sharpness", "learning_rate")
    shown = "sharpness"

    def __init__(
        self,
        x: Any,
        y: Any,
        num_samples: int = 256,
        num_iterations: int = 20,
        tolerance: float = 1e-3,
        every: int = 1,
        unit: str = "epoch",
        seed: int | None = None,
    ) -> None:
        super().__init__(x, y, num_samples, every, unit, seed)
        owner = "SharpnessMonitor"
        self.num_iterations = checked_count(owner, "num_iterations", num_iterations)
        self.tolerance = checked_float(owner, "tolerance", tolerance, above=0)

    def _forget(self) -> None:
        super()._forget()
        length = len(keras.tree.flatten(self.x)[0])
        self._rows = self._random.permutation(length)[: self.num_samples]
        self._direction = np.zeros(0)

    def measure(self) -> dict[str, float]:
        """The largest eigenvalue in magnitude, and the learning rate."""
        variables = self.model.trainable_variables
        before = [on_host(variable) for variable in variables]
        flat = np.concatenate([b.ravel() for b in before]).astype("float64")
        if len(self._direction) != len(flat):
            self._direction = self._random.normal(size=len(flat))
        step = 1e-3 * (1 + np.linalg.norm(flat))
        value = np.inf
        try:
            for _ in range(self.num_iterations):
                self._direction /= np.linalg.norm(self._direction)
                slopes = []
                for sign in (1, -1):
                    _assign(variables, flat + sign * step * self._direction)
                    slopes.append(self._gradient(self._rows))
                product = (slopes[0] - slopes[1]) / (2 * step)
                latest, value = value, float(self._direction @ product)
                if not np.isfinite(product).all() or not product.any():
                    break
                self._direction = product
                if abs(value - latest) <= self.tolerance * abs(value):
                    break
        finally:
            for variable, old in zip(variables, before, strict=True):
                variable.assign(old)
        rate = float(on_host(self.model.optimizer.learning_rate))
        return {"sharpness": value, "learning_rate": rate}

    def meaning(self) -> str:
        """What the latest sharpness means for the learning rate."""
        if not self.history["sharpness"]:
            return "Nothing has been measured yet."
        sharpness, rate = (self.history[name][-1] for name in self.names)
        if not sharpness > 0:
            return "The loss bends downwards in its steepest direction."
        side = "over" if rate * sharpness > 2 else "under"
        return (
            f"Plain gradient descent overshoots with learning rates over "
            f"{2 / sharpness:.3g}; the learning rate, {rate:.3g}, is {side} it."
        )


def _assign(variables: list[Any], flat: np.ndarray) -> None:
    """Assigns to variables their parts of one long vector."""
    start = 0
    for variable in variables:
        size = int(np.prod(variable.shape))
        part = flat[start : start + size].reshape(variable.shape)
        variable.assign(part.astype("float32"))
        start += size
