"""What a trial of transfer learning has chosen."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.tuning._search_space.ranges import (
    FloatRange,
    IntRange,
    OneOf,
    Range,
)
from keras_deeptools.tuning._search_space.searched_optimizer import searched_optimizer


@dataclass(frozen=True)
class TransferChoices:
    """What there is to choose from; arguments of `TransferHyperModel` by their names.

    Each is a number, or what it may be in a search; of several names or depths one is
    chosen.
    """

    backbones: tuple[str, ...]
    heads: tuple[str, ...]
    dropout_rate: float | Range
    hidden_units: int | Range
    depths: tuple[int, ...]
    frozen_epochs: int | Range
    rate_ratio: float | Range
    optimizers: tuple[str, ...]
    learning_rate: float | FloatRange | None


@dataclass(frozen=True)
class TransferRecipe:
    """What a trial has chosen.

    Attributes:
        backbone: Str.
        head: `"average"` or `"concat"`.
        dropout_rate: Float.
        hidden_units: Int, of `"concat"`; else 1.
        depth: Int, layer groups before the head that train.
        frozen_epochs: Int, epochs of the head alone before that; 0 at depth 0.
        rate_ratio: Float, the learning rate of the head over that of the first group.
        optimizer: Keras optimizer, newly made; its learning rate is the largest one.
    """

    backbone: str
    head: str
    dropout_rate: float
    hidden_units: int
    depth: int
    frozen_epochs: int
    rate_ratio: float
    optimizer: keras.optimizers.Optimizer

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of the head."""
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))


def chosen_recipe(hp: Any, choices: TransferChoices) -> TransferRecipe:
    """Gets every choice from a trial's hyperparameters.

    Args:
        hp: `keras_tuner.HyperParameters`.
        choices: `TransferChoices`.
    """
    backbone = _one_of(hp, "backbone", choices.backbones)
    head = _one_of(hp, "head", choices.heads)
    dropout_rate = _value(hp, "head/dropout_rate", choices.dropout_rate)
    # Scopes are entered even where they do not count, so that a tuner knows all that
    # is searched before it has built a model of every kind.
    hidden_units: Any = None
    frozen_epochs: Any = None
    rate_ratio: Any = None
    if "concat" in choices.heads:
        with _where(hp, "head", choices.heads, ["concat"]):
            hidden_units = _value(hp, "head/hidden_units", choices.hidden_units)
    depth = _one_of(hp, "depth", choices.depths)
    deeper = [each for each in choices.depths if each]
    if deeper:
        with _where(hp, "depth", choices.depths, deeper):
            frozen_epochs = _value(hp, "frozen_epochs", choices.frozen_epochs)
            rate_ratio = _value(hp, "rate_ratio", choices.rate_ratio)
    optimizer = searched_optimizer(
        hp, choices.optimizers, learning_rate=choices.learning_rate
    )
    return TransferRecipe(
        backbone,
        head,
        dropout_rate,
        hidden_units if head == "concat" else 1,
        depth,
        frozen_epochs if depth else 0,
        rate_ratio if depth else 1.0,
        optimizer,
    )


def _one_of(hp: Any, name: str, values: Sequence[Any]) -> Any:
    """The only value, or the one of this trial."""
    return values[0] if len(values) == 1 else OneOf(values).ask(hp, name)


def _value(hp: Any, name: str, value: Any) -> Any:
    if isinstance(value, FloatRange | IntRange | OneOf):
        return value.ask(hp, name)
    return value


def _where(
    hp: Any, name: str, choices: Sequence[Any], values: list[Any]
) -> contextlib.AbstractContextManager:
    """A block whose hyperparameters are active only for these values of another."""
    if len(choices) == 1:
        return contextlib.nullcontext()
    return hp.conditional_scope(name, values)
