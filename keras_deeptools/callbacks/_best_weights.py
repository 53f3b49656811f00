"""The best weights of a training run, kept on the host and restored at its end."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, message
from keras_deeptools.callbacks._training_feature import ConfiguredCallback
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._update.train_step import running_fit
from keras_deeptools.statistics._metric_direction import checked_direction

OWNER = "BestWeights"
REMEDY = "Give a name of the logs, such as 'val_loss' or 'val_accuracy'."


@keras.saving.register_keras_serializable(package="keras_deeptools")
class BestWeights(ConfiguredCallback):
    """Gives a model, at the end of `fit`, the weights of its best epoch.

    Training is not ended early and nothing is written to disk: a copy of the weights,
    with the statistics of BatchNormalization, stays in the memory of the host. The
    optimizer is not touched, so its momentum still belongs to the last epoch when `fit`
    is called again. Each `fit` starts again without the best weights of earlier ones.

    The callback keeps the weights that the model holds at the end of an epoch: after
    `WeightAveraging` in the list of callbacks these are the averages that `val_loss`
    was measured with. After an error or Ctrl-C, Keras does not call callbacks, and the
    model keeps its latest weights; `restore` then gives it the best ones.

    Args:
        monitor: Str. The entry of the logs that decides which epoch is best.
        mode: `"min"`, `"max"`, or `"auto"`, which goes by the name of the entry.
        start_from_epoch: Int >= 0. The first epoch whose weights are kept. Epochs are
            counted as `fit` does, from `initial_epoch` on.

    Attributes:
        best: Float or None. The best value of `monitor` in the last `fit`.
        best_epoch: Int or None. The epoch of the best value, counted from 0.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or if `mode="auto"` and the name
            does not say which values are better. When training starts: if `monitor`
            begins with `val_` and `fit` was given no validation data.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import BestWeights
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(2.0), loss="mse")  # diverges
    >>> best = BestWeights("loss")
    >>> x, y = np.ones((4, 2)), np.ones((4, 1))
    >>> history = model.fit(x, y, epochs=5, callbacks=[best], verbose=0)
    >>> best.best_epoch
    0
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", start_from_epoch: int = 0
    ) -> None:
        super().__init__()
        self._owner = OWNER
        if not isinstance(monitor, str) or not monitor:
            rule = "the name of a number in the logs"
            raise TypeError(message(OWNER, "monitor", rule, monitor, REMEDY))
        self.monitor = monitor
        self._direction = checked_direction(OWNER, mode, monitor)
        self.mode = mode
        self.start_from_epoch = checked_count(
            OWNER, "start_from_epoch", start_from_epoch, 0
        )
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self._kept: list[tuple[Any, np.ndarray]] = []
        self._is_told = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forgets earlier weights, after a check that `monitor` can be in the logs."""
        self._forget()
        self.check_model()
        known = running_fit(self.model)
        if known is None or not self.monitor.startswith("val_"):
            return
        if known.arguments["validation_data"] is None:
            rule = "a number of the training where there is no validation"
            remedy = "Give `fit` validation data, or use 'loss'."
            raise ValueError(message(OWNER, "monitor", rule, self.monitor, remedy))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the weights if they are the best so far."""
        if epoch < self.start_from_epoch:
            return
        value = (logs or {}).get(self.monitor)
        if value is None:
            self._tell_missing(logs or {})
        elif self._is_better(float(value)):
            self.best, self.best_epoch = float(value), epoch
            self._kept = [(v, on_host(v)) for v in self.model.weights]

    def _is_better(self, value: float) -> bool:
        if np.isnan(value):
            return False
        if self.best is None:
            return True
        return value < self.best if self._direction == "min" else value > self.best

    def _tell_missing(self, logs: dict) -> None:
        # Validation may be due in some epochs only.
        if not self._is_told and not self.monitor.startswith("val_"):
            self._is_told = True
            names = ", ".join(logs)
            text = f"in the logs of every epoch, which are {names}"
            warnings.warn(
                message(OWNER, "monitor", text, self.monitor, REMEDY), stacklevel=2
            )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Gives the model its best weights."""
        if self.best_epoch is None and not self._is_told:
            warnings.warn(
                f"{OWNER}: no epoch had a `{self.monitor}` that is a number. The model "
                f"keeps its last weights. {REMEDY}",
                stacklevel=2,
            )
        self.restore()

    def restore(self) -> None:
        """Gives the model the best weights of the last `fit`, and drops the copy.

        `fit` calls it at its end. Call it yourself after `fit` ended with an error or
        Ctrl-C; it does nothing if no weights are kept.
        """
        if self._kept:
            # On JAX, this access writes the current values to the model's variables.
            self.check_model()
        for variable, value in self._kept:
            variable.assign(value)
        self._kept = []

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the model and its weights: a copy belongs to no model."""
        return super().__getstate__() | {"_kept": []}
