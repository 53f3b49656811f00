"""What the models of a family are for: their inputs, outputs, loss and metrics."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_option,
    message,
)
from keras_deeptools._shared_docs import shared_docs
from keras_deeptools.tuning._families.hidden_layer import (
    Parts,
    Size,
    ask_parts,
    ask_size,
    checked_size,
)
from keras_deeptools.tuning._families.searched_block import (
    SEARCHED_ACTIVATIONS as ACTIVATIONS,
)
from keras_deeptools.tuning._search_space.searched_optimizer import searched_optimizer

TASKS = ("classification", "binary", "regression")

describes_family = shared_docs(
    task="""\
num_outputs: Int >= 1, classes or numbers to predict.
task: `"classification"` (labels 0, 1, ...; softmax), `"binary"` (labels 0 and
    1 in each output; sigmoid) or `"regression"` (squared error).
""",
    logits="""\
logits: Bool. Whether to leave out softmax or sigmoid; the loss then contains
    it.
""",
    optimizers="""\
optimizers: Names, as for `searched_optimizer`; if empty, AdamW with its default
    arguments.
""",
    prefix_to_raises="""\
    prefix: Str, first part of the hyperparameters' names.

Returns:
    Function from `keras_tuner.HyperParameters` to a compiled `keras.Model`.

Raises:
    TypeError: If an argument is of the wrong type.
    ValueError: If an argument is out of range.
""",
)
"""Fills in what the docstrings of all families say."""


class Predicted(NamedTuple):
    """What a family's models predict, and from what, as a user gives it."""

    input_shape: int | Sequence[int]
    num_outputs: int
    task: str
    logits: bool
    adapt_to: Any


class Choices(NamedTuple):
    """What all families let a user choose of the search."""

    optimizers: Sequence[str]
    activations: Sequence[str]
    prefix: str


@dataclass(frozen=True)
class FamilyTask:
    """What `mlp_family` and its siblings have in common.

    Args:
        input_shape: Tuple of ints >= 1, without the batch.
        num_outputs: Int >= 1.
        task: One of `TASKS`.
        logits: Bool. Whether outputs are logits.
        optimizers: Names, as for `searched_optimizer`; none for AdamW as it comes.
        activations: Names of activations to choose from.
        prefix: Str, first part of the hyperparameters' names.
        moments: Two arrays, mean and variance of each feature or channel, or None.
    """

    input_shape: tuple[int, ...]
    num_outputs: int
    task: str
    logits: bool
    optimizers: tuple[str, ...]
    activations: tuple[str, ...]
    prefix: str
    moments: tuple[np.ndarray, np.ndarray] | None

    @property
    def most_stages(self) -> int:
        """How often images can be halved down to four pixels, and once more; <= 4."""
        shape = self.input_shape
        sides = shape[:2] if _axis(shape) == -1 else shape[1:]
        return min(4, 1 + max(0, int(math.log2(min(sides) / 4))))

    def ask_size(self, hp: Any, name: str, value: Size, default: int) -> int:
        """Gets a number from a search; see `ask_size`."""
        return ask_size(hp, f"{self.prefix}/{name}", value, default)

    def ask_parts(self, hp: Any, dropouts: tuple[str, ...]) -> Parts:
        """Gets parts that fit together from a search; see `ask_parts`."""
        return ask_parts(hp, self.prefix, dropouts, self.activations)

    def family(
        self, owner: str, depth: Size, width: Size, architecture: Callable
    ) -> "ModelFamily":
        """The family of these models, of checked sizes.

        Args:
            owner: Str. Whom an error names.
            depth: What was given.
            width: What was given.
            architecture: As for `ModelFamily`.
        """
        checked_size(owner, "depth", depth)
        checked_size(owner, "width", width)
        return ModelFamily(self, depth, width, architecture)

    def inputs(self) -> tuple[Any, Any]:
        """The symbolic inputs, and what standardization makes of them."""
        inputs = keras.Input(self.input_shape)
        if self.moments is None:
            return inputs, inputs
        mean, variance = self.moments
        layer = keras.layers.Normalization(_axis(self.input_shape), mean, variance)
        return inputs, layer(inputs)

    def finished(self, hp: Any, inputs: Any, features: Any) -> keras.Model:
        """The model of a trial, compiled, from its last hidden features.

        Args:
            hp: `keras_tuner.HyperParameters`.
            inputs: Symbolic inputs.
            features: Symbolic features `(batch, n)`.
        """
        ends = {"classification": "softmax", "binary": "sigmoid"}
        end = None if self.logits else ends.get(self.task)
        outputs = keras.layers.Dense(self.num_outputs, end, name="outputs")(features)
        model = keras.Model(inputs, outputs)
        loss, metrics = self._measures()
        optimizer: Any = "adamw"
        if self.optimizers:
            optimizer = searched_optimizer(hp, self.optimizers)
        model.compile(optimizer, loss, metrics=metrics)
        return model

    def _measures(self) -> tuple[Any, list[Any]]:
        if self.task == "regression":
            return "mean_squared_error", ["mean_absolute_error"]
        if self.task == "classification":
            name = "sparse_categorical_crossentropy"
            made = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            return (made if self.logits else name), ["accuracy"]
        made = keras.losses.BinaryCrossentropy(from_logits=True)
        threshold = 0.0 if self.logits else 0.5
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=threshold)
        return (made if self.logits else "binary_crossentropy"), [accuracy]


def family_task(
    owner: str,
    predicted: Predicted,
    choices: Choices,
    ranks: tuple[int, ...],
    *,
    selu: bool,
) -> FamilyTask:
    """Checks the arguments that all families have.

    Args:
        owner: Str. Whom an error names.
        predicted: `Predicted`.
        choices: `Choices`.
        ranks: Lengths that `input_shape` may have.
        selu: Bool. Whether SELU may be among the activations.
    """
    input_shape, num_outputs, task, logits, adapt_to = predicted
    optimizers, activations, prefix = choices
    lengths = [input_shape] if isinstance(input_shape, int) else list(input_shape)
    if len(lengths) not in ranks:
        rule = f"of length {' or '.join(map(str, ranks))}, without the batch"
        raise ValueError(message(owner, "input_shape", rule, input_shape))
    shape = tuple(checked_count(owner, "input_shape", each) for each in lengths)
    checked_count(owner, "num_outputs", num_outputs)
    checked_option(owner, "task", task, TASKS)
    checked_bool(owner, "logits", logits)
    if not isinstance(prefix, str) or not prefix:
        raise TypeError(message(owner, "prefix", "a non-empty string", prefix))
    known = [name for name in ACTIVATIONS if selu or name != "selu"]
    chosen = () if isinstance(activations, str) else tuple(activations)
    if not chosen:
        rule = f"a sequence of names out of {', '.join(known)}"
        raise ValueError(message(owner, "activations", rule, activations))
    for name in chosen:
        checked_option(owner, "activations", name, known)
    moments = None if adapt_to is None else _moments(owner, adapt_to, shape)
    names = tuple(optimizers)
    return FamilyTask(shape, num_outputs, task, logits, names, chosen, prefix, moments)


def _axis(shape: tuple[int, ...]) -> int:
    """The axis of features or channels in a batch."""
    last = len(shape) == 1 or keras.config.image_data_format() == "channels_last"
    return -1 if last else 1


def _moments(
    owner: str, rows: Any, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(rows, "float64")
    if values.shape[1:] != shape or not len(values) or not np.isfinite(values).all():
        rule = (
            f"an array of finite numbers of shape (rows, {', '.join(map(str, shape))})"
        )
        received = f"shape {values.shape}"
        raise ValueError(message(owner, "adapt_to", rule, received))
    axis = _axis(shape) % values.ndim
    others = tuple(i for i in range(values.ndim) if i != axis)
    return values.mean(others), values.var(others)


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """Builds the model of a trial; made by `mlp_family` and its siblings.

    Args:
        task: `FamilyTask`.
        depth: Int >= 1, `IntRange` or `OneOf`.
        width: As `depth`.
        architecture: Function of these three and of `keras_tuner.HyperParameters`, to
            the symbolic inputs and the last hidden features.
    """

    task: FamilyTask
    depth: Any
    width: Any
    architecture: Callable[[FamilyTask, Any, Any, Any], tuple[Any, Any]]

    def __call__(self, hp: Any) -> keras.Model:
        """The compiled model.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        inputs, features = self.architecture(self.task, self.depth, self.width, hp)
        return self.task.finished(hp, inputs, features)

    def without_optimizer(self) -> Self:
        """The family with an optimizer that is not searched."""
        return dataclasses.replace(
            self, task=dataclasses.replace(self.task, optimizers=())
        )
