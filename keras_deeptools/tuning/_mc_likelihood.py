"""How likely validation data are under Monte Carlo dropout, in the logs."""

from typing import Any

import keras
import keras_tuner

from keras_deeptools.engine import stochastic_layers
from keras_deeptools.uncertainty._mc_log_likelihood import (
    check_likelihood,
    mc_log_likelihood,
)

OWNER = "DeepHyperModel"
KEY = "val_mc_log_likelihood"


class MCLikelihood(keras.callbacks.Callback):
    """Adds `val_mc_log_likelihood` to the logs at the end of each epoch.

    The mean over the rows of the log-likelihood of their targets, with dropout on and
    predictions averaged over samples: what a search over dropout rates should maximize
    if the model is to be used so.

    Args:
        x: Inputs to validate on, or data in batches with their targets.
        y: Their targets, None where `x` holds them.
        num_samples: Int >= 1, Monte Carlo samples. A model that drops nowhere is
            judged by its plain prediction.
        sample_weight: Weights of the targets, or None.
    """

    def __init__(
        self, x: Any, y: Any, num_samples: int, sample_weight: Any = None
    ) -> None:
        super().__init__()
        self.x = x
        self.y = y
        self.num_samples = num_samples
        self.sample_weight = sample_weight

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Raises where the likelihood cannot be told."""
        try:
            check_likelihood(OWNER, self.model, "auto", self.y, self.x)
        except ValueError as error:
            raise keras_tuner.errors.FatalValueError(str(error)) from error

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Predicts, and adds the likelihood."""
        logs_of_rows, _ = mc_log_likelihood(
            self.model,
            self.x,
            self.y,
            "auto",
            self.num_samples if stochastic_layers(self.model) else 0,
            seed=0,
            owner=OWNER,
            sample_weight=self.sample_weight,
        )
        if logs is not None:
            logs[KEY] = float(logs_of_rows.mean())
