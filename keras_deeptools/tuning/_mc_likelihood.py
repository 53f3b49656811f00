"""How likely validation data are under Monte Carlo dropout, in the logs."""

from typing import Any

import keras

from keras_deeptools.uncertainty._mc_log_likelihood import mc_log_likelihood

KEY = "val_mc_log_likelihood"


class MCLikelihood(keras.callbacks.Callback):
    """Adds `val_mc_log_likelihood` to the logs at the end of each epoch.

    The mean over the rows of the log-likelihood of their targets, with dropout on and
    predictions averaged over samples: what a search over dropout rates should maximize
    if the model is to be used so.

    Args:
        x: Inputs to validate on.
        y: Their targets.
        num_samples: Int >= 1, Monte Carlo samples.
    """

    def __init__(self, x: Any, y: Any, num_samples: int) -> None:
        super().__init__()
        self.x = x
        self.y = y
        self.num_samples = num_samples

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Predicts, and adds the likelihood."""
        logs_of_rows, _ = mc_log_likelihood(
            self.model,
            self.x,
            self.y,
            "auto",
            self.num_samples,
            seed=0,
            owner="DeepHyperModel",
        )
        if logs is not None:
            logs[KEY] = float(logs_of_rows.mean())
