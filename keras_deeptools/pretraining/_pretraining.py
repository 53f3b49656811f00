"""The result of pretraining a whole network, and the run that does it."""

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_seed,
    checked_verbose,
    message,
)
from keras_deeptools._axes import new_axes
from keras_deeptools._shared_docs import delegates, shared_docs
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


FIT_OPTIONS = """\
optimizer: Name or `keras.optimizers.Optimizer`. A fresh copy of it is used.
validation_data: None, or as `x`: more inputs, on which loss and metrics are
    measured.
steps_per_epoch: None, or int >= 1, batches in an epoch.
callbacks: None, or callbacks for `fit`. Their `model` is what is trained: the encoder
    with its decoder or projection.
seed: Int >= 0 or None. Initial weights of what is put behind the encoder, noise, masks
    or views, dropout and the order of samples come from it, so that the result is the
    same each time on a backend. None takes one from Python's random state. No other
    random state changes.
verbose: `"auto"`, 0, 1 or 2, as for `fit`.
"""
ERRORS = """\
Raises:
    TypeError: If an argument has the wrong type.
    ValueError: If the model cannot be cut or nothing in the encoder is trainable, `x`
        does not fit, an argument is out of range, or values are not finite. The model
        is then unchanged.
"""
Function = TypeVar("Function", bound=Callable)


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a pretrainer is fitted, as far as all functions take the same arguments."""

    optimizer: Any = "adam"
    validation_data: Any = None
    steps_per_epoch: int | None = None
    callbacks: Sequence[keras.callbacks.Callback] | None = None
    seed: int | None = None
    verbose: str | int = "auto"


def takes_fit_options(function: Function) -> Function:
    """Completes signature and docstring of a function that passes `**fit_options` on.

    Args:
        function: Function with the placeholder `fit_options` in its docstring, and
            `errors` in place of what it raises.
    """
    return shared_docs(fit_options=FIT_OPTIONS, errors=ERRORS)(
        delegates(FitOptions)(function)
    )


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
    x: Any,
    until: str | None,
    epochs: int,
    batch_size: int,
    fit_options: dict[str, Any],
    smallest_batch: int = 1,
) -> Run:
    """Returns a `Run`, or raises an error for a bad argument before any change."""
    for name in fit_options.keys() - inspect.signature(FitOptions).parameters:
        raise TypeError(f"{owner}() got an unexpected keyword argument {name!r}")
    options = FitOptions(**fit_options)
    validation_data, steps_per_epoch = options.validation_data, options.steps_per_epoch
    encoder = Encoder(owner, model, until)
    fit_arguments: dict[str, Any] = {
        "epochs": checked_count(owner, "epochs", epochs),
        "callbacks": list(options.callbacks or ()),
        "verbose": checked_verbose(owner, options.verbose),
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
    chosen = checked_optimizer(owner, options.optimizer)
    given_seed = checked_seed(owner, options.seed)
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
