"""One progress bar over the epochs of all stages."""

from typing import Any

import keras


class Progress(keras.callbacks.Callback):
    """Counts epochs over several calls of `fit`.

    Args:
        total: Int, epochs in all.
        verbose: 0 (silent) or 1.

    Attributes:
        stage: Int, number of the layer at work, shown beside the loss.
    """

    def __init__(self, total: int, verbose: int) -> None:
        super().__init__()
        self.stage = 0
        self.total, self.done = total, 0
        self.bar = keras.utils.Progbar(
            total,
            verbose=verbose,
            unit_name="epoch",
            stateful_metrics=["layer", "loss"],
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar on."""
        self.done += 1
        values = [("layer", self.stage), ("loss", (logs or {})["loss"])]
        self.bar.update(self.done, values, finalize=self.done == self.total)
