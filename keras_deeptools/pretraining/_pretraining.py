"""The result of pretraining a whole network, and the run that does it."""

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_seed,
    checked_verbose,
    message,
)
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.pretraining._encoder import Encoder, Pretrainer


def plot_history(owner: str, history: Mapping[str, Sequence[float]], ax: Any) -> Any:
    """Draws one curve for each name; returns the axes."""
    ax = new_axes(owner) if ax is None else ax
    for name, values in history.items():
        ax.plot(range(1, len(values) + 1), values, "o-", markersize=3, label=name)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss, measures" if "accuracy" in history else "loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


@dataclass(frozen=True)
class Pretraining(NotebookText):
    """The result of `pretrain_denoising` and related functions.

    Args:
        method: Str, such as `"denoising autoencoder"`.
        layers: Tuple of str, names of the layers that were pretrained.
        left: Dict from the name of a layer with weights that was not changed to the
            reason.
        history: Dict from the name of a loss or measure to a tuple of floats, one for
            each epoch.
        seed: Int, the seed of all random numbers.

    Example:

    >>> from keras_deeptools.pretraining import Pretraining
    >>> history = {"loss": (0.5, 0.3, 0.25)}
    >>> left = {"head": "not in the encoder"}
    >>> print(Pretraining("masked autoencoder", ("a", "b"), left, history, seed=0))
    masked autoencoder of a, b
          epochs  first  last
    loss       3    0.5  0.25
    Left as they were: head (not in the encoder).
    """

    method: str
    layers: tuple[str, ...]
    left: dict[str, str]
    history: dict[str, tuple[float, ...]]
    seed: int

    def table(self) -> str:
        """Returns losses and measures as lines of text: first and last epoch."""
        rows = []
        for name, values in self.history.items():
            ends = [f"{value:.4g}" for value in (values[0], values[-1])]
            rows.append([name, str(len(values)), *ends])
        return text_table(["", "epochs", "first", "last"], rows)

    def __str__(self) -> str:
        names = list(self.layers)
        if len(names) > MOST_NAMES:
            names = [names[0], "...", names[-1], f"({len(self.layers)} layers)"]
        lines = [f"{self.method} of {', '.join(names)}", self.table()]
        if self.left:
            left = [f"{name} ({why})" for name, why in self.left.items()]
            if len(left) > MOST_NAMES:
                left = [*left[:MOST_NAMES], f"and {len(left) - MOST_NAMES} more"]
            lines.append(f"Left as they were: {', '.join(left)}.")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draws losses and measures over the epochs.

        It draws on the matplotlib axes `ax`, or on those of a new figure, and returns
        the axes.
        """
        return plot_history("Pretraining.plot", self.history, ax)


MOST_NAMES = 8


class TrainingData(NamedTuple):
    """Inputs without labels, as given by the user."""

    x: Any
    validation_data: Any
    batch_size: int
    steps_per_epoch: int | None


class FitOptions(NamedTuple):
    """Options of training on them, as given by the user."""

    epochs: int
    optimizer: Any
    callbacks: Sequence[keras.callbacks.Callback] | None
    seed: int | None
    verbose: str | int


@dataclass(frozen=True)
class Run:
    """One training of a pretrainer, with checked arguments; made by `checked_run`."""

    owner: str
    encoder: Encoder
    x: Any
    fit_arguments: dict[str, Any]
    optimizer: Any
    seed: int

    def __call__(self, method: str, build: Callable[[int], Pretrainer]) -> Pretraining:
        """Trains what `build` makes of a seed; the encoder's weights are written last.

        Args:
            method: Str, the name of the method for the result.
            build: Function from a seed to a `Pretrainer`.
        """
        with seeded(self.seed):
            pretrainer = build(random.randrange(2**31))
            kind, config = type(self.optimizer), self.optimizer.get_config()
            pretrainer.compile(kind.from_config(config))
            fitted = pretrainer.fit(self.x, **self.fit_arguments).history
            values = pretrainer.encoder.values()
        history = {name: tuple(map(float, each)) for name, each in fitted.items()}
        weights_are_finite = all(np.isfinite(v).all() for v in values[0])
        if not (np.isfinite(history["loss"]).all() and weights_are_finite):
            raise ValueError(
                f"{self.owner}: the loss of every epoch and the weights must be "
                f"finite. Received: loss={history['loss']}. Scale `x`, or give an "
                "`optimizer` with a smaller rate. The model is as it was."
            )
        trained, left = self.encoder.trained, self.encoder.left
        self.encoder.land(*values)
        return Pretraining(method, trained, left, history, self.seed)


def checked_run(
    owner: str,
    model: keras.Model,
    until: str | None,
    data: TrainingData,
    options: FitOptions,
    smallest_batch: int = 1,
) -> Run:
    """Returns a `Run`, or raises an error for a bad argument before any change."""
    x, validation_data, batch_size, steps_per_epoch = data
    epochs, optimizer, callbacks, seed, verbose = options
    encoder = Encoder(owner, model, until)
    fit_arguments: dict[str, Any] = {
        "epochs": checked_count(owner, "epochs", epochs),
        "callbacks": list(callbacks or ()),
        "verbose": checked_verbose(owner, verbose),
    }
    if steps_per_epoch is not None:
        steps = checked_count(owner, "steps_per_epoch", steps_per_epoch)
        fit_arguments["steps_per_epoch"] = steps
    size = checked_count(owner, "batch_size", batch_size, smallest_batch)
    if is_array(x):
        x = finite_rows(owner, model, x, "x")
        fit_arguments["batch_size"] = size
    elif inspect.isgenerator(x):
        fit_arguments["shuffle"] = False
    if validation_data is not None:
        if is_array(validation_data):
            validation_data = finite_rows(
                owner, model, validation_data, "validation_data"
            )
            fit_arguments["validation_batch_size"] = size
        fit_arguments["validation_data"] = validation_data
    chosen = checked_optimizer(owner, optimizer)
    given_seed = checked_seed(owner, seed)
    drawn = random.randrange(2**31) if given_seed is None else given_seed
    return Run(owner, encoder, x, fit_arguments, chosen, drawn)


def checked_optimizer(owner: str, value: Any) -> Any:
    """Returns an optimizer made of a name, config or optimizer, or raises an error."""
    try:
        return keras.optimizers.get(value)
    except (ValueError, TypeError) as error:
        rule = "the name of an optimizer, or an optimizer"
        raise ValueError(message(owner, "optimizer", rule, value)) from error


def is_array(x: Any) -> bool:
    """Returns whether data are in memory: an array, a tensor or lists of numbers."""
    return isinstance(x, list | tuple) or hasattr(x, "__array__")


def checked_rows(
    owner: str, model: keras.Model, x: Any, argument: str = "x"
) -> np.ndarray:
    """Returns `x` as an array that fits the model's input, or raises an error."""
    rows = np.asarray(keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x)
    expected = tuple(model.inputs[0].shape)
    rule = f"an array of numbers of shape {expected}, with at least one row"
    if rows.dtype.kind not in "biuf" and rows.dtype.name != "bfloat16":
        found = f"{type(x).__name__} of {rows.dtype}"
        raise TypeError(
            message(owner, argument, rule, found, "Give one array of inputs.")
        )
    fits = len(rows.shape) == len(expected) and all(
        size is None or size == own
        for size, own in zip(expected[1:], rows.shape[1:], strict=True)
    )
    if not fits or not len(rows):
        raise ValueError(message(owner, argument, rule, rows.shape))
    return rows


def finite_rows(owner: str, model: keras.Model, x: Any, argument: str) -> np.ndarray:
    """Returns samples that fit the model and are finite, or raises an error."""
    rows = checked_rows(owner, model, x, argument)
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        first = int(np.argmin(np.isfinite(rows).reshape(len(rows), -1).all(axis=1)))
        raise ValueError(
            f"{owner}: `{argument}` must be finite. Received: NaN or infinity, first "
            f"in row {first}. Mend the data."
        )
    return rows
