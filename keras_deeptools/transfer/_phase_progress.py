"""A progress bar that names the phase of fine-tuning."""

from typing import Any

import keras


class PhaseProgress(keras.callbacks.Callback):
    """Shows the epochs of all phases, each with a bar over its batches.

    Args:
        phase: Str, name of the phase.
        num_epochs: Int, epochs in all phases.
        num_steps: Int, batches in an epoch.
        verbose: Int, 1 for a bar, 2 for a line for each epoch.
    """

    def __init__(
        self, phase: str, num_epochs: int, num_steps: int, verbose: int
    ) -> None:
        super().__init__()
        self._phase = phase
        self._num_epochs = num_epochs
        self._num_steps = num_steps
        self._verbose = verbose
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begins a new bar."""
        print(f"Epoch {epoch + 1}/{self._num_epochs} ({self._phase})")
        self._bar = keras.utils.Progbar(
            self._num_steps, verbose=self._verbose, stateless_metrics=[]
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar on."""
        if self._verbose == 1:
            self._bar.update(batch + 1, list((logs or {}).items()), finalize=False)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Ends the bar, with what validation found."""
        self._bar.update(self._num_steps, list((logs or {}).items()), finalize=True)
