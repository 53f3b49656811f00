"""Watching the activations of every layer on the same samples, epoch by epoch."""

import csv
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count
from keras_deeptools._axes import new_panels
from keras_deeptools._finding import Finding
from keras_deeptools._text_table import text_table
from keras_deeptools.diagnosis._signal_propagation.measurement import activation_pass
from keras_deeptools.diagnosis._training_doctor.given import given_to

OWNER = "ActivationMonitor"
STATISTICS = ("mean", "std", "zero", "dead", "saturated")
MOST_DEAD = 0.9
MOST_SATURATED = 0.8


@keras.saving.register_keras_serializable(package="keras_deeptools")
class ActivationMonitor(keras.callbacks.Callback):
    """Records the outputs of layers for the same samples, at intervals of epochs.

    One compiled pass in inference mode over up to 256 samples of the training data
    measures the mean, the standard deviation, and the fractions of zeros, of dead units
    (zero, or saturated, on all of the samples) and of saturated outputs. The state of
    training does not change.

    Args:
        x: Inputs to measure on, or None for samples of the data that `fit` is given; of
            a generator, those of its first batches.
        every: Int >= 1. Epochs from one measurement to the next; the first is made
            before training.

    Raises:
        TypeError: If `every` is no int.
        ValueError: If `every` is less than 1.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import ActivationMonitor
    >>> relu = keras.layers.Dense(4, "relu", name="relu", bias_initializer="ones")
    >>> model = keras.Sequential([keras.Input((2,)), relu, keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> monitor = ActivationMonitor()
    >>> x, y = np.zeros((8, 2)), np.ones((8, 1))
    >>> history = model.fit(x, y, epochs=2, callbacks=[monitor], verbose=0)
    >>> monitor.layers[0], monitor.history["std"].shape
    ('relu', (3, 2))
    """

    def __init__(self, x: Any = None, every: int = 1) -> None:
        super().__init__()
        checked_count(OWNER, "every", every)
        self.x = x
        self.every = every
        self.samples: Any = None
        self._forget()

    def _forget(self) -> None:
        self.epochs: list[int] = []
        self.layers: list[str] = []
        self._rows: list[list[list[float]]] = []
        self._pass: Any = None

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Dict from statistic to an array `(measurements, layers)`.

        `epochs` holds the number of epochs trained before each measurement.
        """
        rows = np.array(self._rows, "float64")
        rows = rows.reshape(len(self._rows), len(self.layers), len(STATISTICS))
        return {name: rows[..., place] for place, name in enumerate(STATISTICS)}

    @property
    def findings(self) -> list[Finding]:
        """Findings about layers that were dead or saturated in the last measurement."""
        if not self._rows:
            return []
        found = []
        latest = self.history
        for place, name in enumerate(self.layers[:-1]):
            dead = float(latest["dead"][-1, place])
            zero = float(latest["zero"][-1, place])
            saturated = float(latest["saturated"][-1, place])
            before = float(latest["dead"][0, place])
            if dead > MOST_DEAD and zero > MOST_DEAD:
                found.append(
                    Finding(
                        "dead units",
                        name,
                        f"{dead:.0%} of its units put out zero for all samples, "
                        f"{before:.0%} did before training.",
                        "Lower the learning rate; use he_normal or leaky_relu.",
                        evidence={"dead": dead, "before": before, "most": MOST_DEAD},
                        code='activation="leaky_relu"',
                        epoch=self.epochs[-1] or None,
                        confidence=0.8,
                        reference="Maas et al., 2013, section 2",
                    )
                )
            elif saturated > MOST_SATURATED:
                found.append(
                    Finding(
                        "saturated units",
                        name,
                        f"{saturated:.0%} of its outputs lie next to a limit of the "
                        "activation.",
                        "Lower the learning rate; scale inputs and initial weights.",
                        severity="warning",
                        evidence={"saturated": saturated, "most": MOST_SATURATED},
                        epoch=self.epochs[-1] or None,
                        confidence=0.6,
                        reference="Glorot & Bengio, 2010, section 3",
                    )
                )
        return found

    @property
    def problems(self) -> list[Finding]:
        """The same as `findings`."""
        return self.findings

    def table(self) -> str:
        """A line for each layer, of the latest measurement, with the findings."""
        rows = []
        latest, findings = self.history, self.findings
        for place, name in enumerate(self.layers):
            numbers = [latest[each][-1, place] for each in STATISTICS]
            kinds = ", ".join(each.kind for each in findings if each.where == name)
            cells = ["" if np.isnan(n) else f"{n:.3g}" for n in numbers]
            rows.append([name, *cells, kinds])
        return text_table(["layer", *STATISTICS, "findings"], rows, text=(0, -1))

    def to_csv(self, path: str) -> None:
        """Writes the history as a table, one line for each measurement and layer.

        Args:
            path: Str. The file to write.
        """
        history = self.history
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epochs", "layer", *STATISTICS])
            for row, epochs in enumerate(self.epochs):
                for place, name in enumerate(self.layers):
                    numbers = [f"{history[s][row, place]:.9g}" for s in STATISTICS]
                    writer.writerow([epochs, name, *numbers])

    def plot(self, path: str | None = None, ax: Any = None) -> Any:
        """Draws standard deviations and dead units of all layers over the epochs.

        Args:
            path: Str or None, picture file to write.
            ax: Pair of matplotlib axes: for standard deviations, and for fractions of
                dead units. Default: those of a new figure.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If nothing was measured.
        """
        if not self._rows:
            raise ValueError(
                "ActivationMonitor.plot: there must be measurements. Received: none. "
                "Train with the callback first."
            )
        if ax is None:
            ax = new_panels("ActivationMonitor.plot", 1, 2, (12, 4))
        axes = np.ravel(ax)
        for ax, name in zip(axes, ("std", "dead"), strict=True):
            for place, layer in enumerate(self.layers):
                ax.plot(self.epochs, self.history[name][:, place], label=layer)
            ax.set_xlabel("epochs trained")
            ax.set_title({"std": "standard deviation", "dead": "dead units"}[name])
        axes[0].legend(fontsize=7)
        figure = axes[0].figure
        if path is not None:
            figure.savefig(path)
        return figure

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Takes the samples, and measures if the model is built."""
        self._forget()
        if self.x is not None:
            self.samples = self.x
        elif self.samples is None:
            given = given_to(self.model)
            self.samples = None if given is None else given.x
        self._measure(0)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Releases the samples."""
        self.samples = self._pass = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measures, if it is time."""
        if (epoch + 1) % self.every == 0:
            self._measure(epoch + 1)

    def _measure(self, epoch: int) -> None:
        if self.samples is None or not self.model.built:
            return
        if self._pass is None:
            self._pass = activation_pass(self.model)
        found = self._pass(self.samples)
        if not self.layers:
            self.layers = [name for name, _ in found]
        numbers = dict(found)
        self._rows.append(
            [
                [float(numbers[name][each]) for each in STATISTICS]
                for name in self.layers
            ]
        )
        self.epochs.append(epoch)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; samples are left out."""
        return {"every": self.every}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ActivationMonitor":
        """Makes one from `config`, what `get_config` returns."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to a running training."""
        state = dict(vars(self))
        return state | {"_model": None, "_pass": None, "samples": None}
