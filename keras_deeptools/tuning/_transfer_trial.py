"""The training of one trial of transfer learning."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_deeptools.engine import compile_arguments
from keras_deeptools.tuning._fine_tuning_trial import fit_from_cut, one_cycle
from keras_deeptools.tuning._fit_trial import fit_searched
from keras_deeptools.tuning._head_fit import HeadFit
from keras_deeptools.tuning._pooled_features import PooledFeatures
from keras_deeptools.tuning._transfer_recipe import TransferRecipe

DATA = ("x", "y", "sample_weight")
IN_BOTH_PHASES = ("batch_size", "class_weight", "shuffle", "validation_split")
"""What `fit` is given in the phase that no callback sees, too."""


@dataclass(frozen=True)
class TransferTrial:
    """One trial, ready to be trained.

    Attributes:
        model: `keras.Model`, compiled.
        recipe: `TransferRecipe`.
        trunk: `keras.Model`, the frozen backbone that the search began with.
        pooled: `PooledFeatures` of the search.
        folder: Where features are kept, or None.
        max_epochs: Int, where 1cycle ends.
        max_bytes: Int, the most that features before trained groups may take.
        must_log: Bool. Whether the objective must be in the logs.
    """

    model: keras.Model
    recipe: TransferRecipe
    trunk: keras.Model
    pooled: PooledFeatures
    folder: Path | None
    max_epochs: int
    max_bytes: int
    must_log: bool = True

    def fit(self, given: dict[str, Any]) -> Any:
        """Trains the head alone, or first the head and then deeper groups along.

        Args:
            given: Arguments of `fit` by name.
        """
        if not self.recipe.depth:
            return self._fit_head(given)
        if self.recipe.frozen_epochs and not given.get("initial_epoch"):
            self._fit_head_first(given)
        cycle = one_cycle(
            self.model.optimizer,
            self.max_epochs,
            self.recipe.learning_rate / 2,
            initial_divisor=5.0,
        )
        fit = functools.partial(fit_from_cut, self.model, self.folder, self.max_bytes)
        return fit_searched(fit, (), given, [cycle], self.must_log)

    def _fit_head(self, given: dict[str, Any]) -> Any:
        """Trains the head with the model's own optimizer, as a tuner sees it."""
        training = HeadFit(self.model)
        optimizer = self.model.optimizer
        training.head.compile(optimizer, **compile_arguments(self.model))
        cycle = one_cycle(optimizer, self.max_epochs, self.recipe.learning_rate)
        rows = self._rows(given, training)
        arguments = {**given, **rows}
        return fit_searched(training.fit, (), arguments, [cycle], self.must_log)

    def _fit_head_first(self, given: dict[str, Any]) -> None:
        """Trains the head, with an optimizer of its own."""
        training = HeadFit(self.model)
        optimizer = self.recipe.optimizer
        training.head.compile(optimizer, loss=compile_arguments(self.model)["loss"])
        cycle = one_cycle(
            optimizer,
            self.recipe.frozen_epochs,
            self.recipe.learning_rate,
            warmup_fraction=0.99,
        )
        rows = self._rows(given, training)
        rows.pop("validation_data", None)
        training.head.fit(
            **rows,
            **{name: given[name] for name in IN_BOTH_PHASES if name in given},
            epochs=self.recipe.frozen_epochs,
            callbacks=[cycle, keras.callbacks.TerminateOnNaN()],
            verbose=0,
        )

    def _rows(self, given: dict[str, Any], training: HeadFit) -> dict[str, Any]:
        """Features in place of data, as arguments of `fit`."""
        train, held = self.pooled.of(
            self.recipe.backbone,
            self.trunk,
            (given.get("x"), given.get("y"), given.get("sample_weight")),
            given.get("validation_data"),
            self.folder,
        )
        rows = dict(zip(DATA, training.rows(train), strict=True))
        if held is not None:
            rows["validation_data"] = training.rows(held)
        return rows
