"""Signals forward and gradients backward, layer by layer."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import is_integer
from keras_deeptools._axes import describes_figure, new_panels
from keras_deeptools._finding import Finding
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.diagnosis._signal_propagation.findings import find
from keras_deeptools.diagnosis._signal_propagation.measurement import (
    LayerSignal,
    is_trained,
    measure_network,
    normalizing_as_in_training,
)
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._passes.compiled_with import has_loss
from keras_deeptools.statistics._input_findings import (
    findings_of_arrays,
    findings_of_targets,
)

MOST_LAYERS = 12


"""Layers that a panel names; of more, every n-th."""


BINS = 60


def plot_signals(result: Any, path: str | None) -> Any:
    """Draws what there is, saves it where asked, and returns the figure."""
    layers = list(result.layers)
    panels = [_spread, _outputs]
    if any(layer.gradients.size for layer in layers):
        panels += [_gradients, _weight_gradients]
    rows = len(panels) // 2
    axes = new_panels("SignalPropagation.plot", rows, 2, (12, 4.2 * rows))
    for panel, ax in zip(panels, np.ravel(axes), strict=True):
        panel(ax, layers)
    figure = np.ravel(axes)[0].figure
    if path is not None:
        figure.savefig(path)
    return figure


def _spread(ax: Any, layers: list[Any]) -> None:
    """Figure 2: mean, standard deviation and 98% of the outputs, layer by layer."""
    positions = np.arange(len(layers))
    means = np.array([layer.mean for layer in layers])
    stds = np.array([layer.std for layer in layers])
    ax.errorbar(positions, means, stds, fmt="o", capsize=3, label="mean and std")
    known = [layer.activations[np.isfinite(layer.activations)] for layer in layers]
    ends = [np.percentile(v, (1, 99)) if v.size else (np.nan, np.nan) for v in known]
    ax.plot(positions, ends, "_", color="C1", markersize=8)
    ax.plot([], [], "_", color="C1", label="98% of all outputs")
    thin = -(-len(layers) // MOST_LAYERS)
    ax.set_xticks(
        positions[::thin],
        [layer.name for layer in layers][::thin],
        rotation=30,
        ha="right",
        fontsize=7,
    )
    ax.set_title("Outputs by layer")
    ax.legend(fontsize=8)


def _outputs(ax: Any, layers: list[Any]) -> None:
    """Figure 6."""
    _histograms(ax, layers, "activations")
    ax.set_title("Outputs (activations)")


def _gradients(ax: Any, layers: list[Any]) -> None:
    """Figure 7."""
    _histograms(ax, layers, "gradients")
    ax.set_title("Back-propagated gradients (of pre-activations)")


def _weight_gradients(ax: Any, layers: list[Any]) -> None:
    """Figure 8."""
    _histograms(ax, layers, "weight_gradients")
    ax.set_title("Gradients of weights")


def _histograms(ax: Any, layers: list[Any], name: str) -> None:
    # Hidden layers, as in the paper: the last one has another scale. Layers without
    # weights put out what the next sees, but have no gradients.
    weighted = [layer for layer in layers if layer.weighted]
    hidden = weighted[:-1] or weighted
    chosen = [layer for layer in hidden if np.isfinite(getattr(layer, name)).any()]
    if not chosen:
        return
    thin = math.ceil(len(chosen) / MOST_LAYERS)
    shown = chosen[::thin]
    samples = [getattr(layer, name) for layer in shown]
    samples = [values[np.isfinite(values)] for values in samples]
    reach = max(float(np.percentile(np.abs(values), 99.5)) for values in samples)
    edges = np.linspace(-1, 1, BINS + 1) * (reach or 1.0)
    middle = (edges[1:] + edges[:-1]) / 2
    for index, (layer, values) in enumerate(zip(shown, samples, strict=True)):
        counts = np.histogram(values, edges)[0] / values.size * 100
        style = "-" if index < 10 else "--"
        ax.plot(middle, counts, style, label=layer.name, color=f"C{index % 10}")
    ax.set_ylabel("% of values in bin")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=7)


OWNER = "signal_propagation"


COLUMNS = {
    "mean": "mean",
    "std": "std",
    "pre-act. std": "pre_activation_std",
    "saturated": "saturated",
    "zero": "zero",
    "dead": "dead",
    "gradient": "gradient_std",
    "weight gradient": "weight_gradient_std",
}


@dataclass(frozen=True, eq=False)
class SignalPropagation(NotebookText):
    """The measurements and findings of `signal_propagation`.

    Args:
        layers: Tuple of `LayerSignal`, in the order of the calls.
        loss: Float, the loss of the batch; NaN without one.
        input_findings: Tuple of `Finding` about the inputs.
        not_reached: Tuple of str, names of networks of a model without a `call` that
            do not take such inputs.
        is_trained: Bool, whether weights differ from what the initializers have drawn;
            larger differences between layers are then allowed before they are findings.

    Example:

    >>> from keras_deeptools.diagnosis import LayerSignal, SignalPropagation
    >>> names = ["first", "second", "output"]
    >>> layers = [LayerSignal(name, "Dense", mean=0.0, std=1.0) for name in names]
    >>> print(SignalPropagation(tuple(layers)).verdict)
    Even: signals neither vanish nor explode; gradients were not looked at.
    """

    layers: tuple[LayerSignal, ...]
    loss: float = math.nan
    input_findings: tuple[Finding, ...] = ()
    not_reached: tuple[str, ...] = ()
    is_trained: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the inputs, then in the model, the most severe first."""
        return (*self.input_findings, *find(self.layers, self.is_trained))

    @property
    def verdict(self) -> str:
        """One line for each finding, with what to change; or that there is none."""
        if self.findings:
            return "\n".join(map(str, self.findings))
        if math.isnan(self.loss):
            return (
                "Even: signals neither vanish nor explode; gradients were not looked "
                "at."
            )
        return "Even: neither signals nor gradients vanish or explode."

    def table(self) -> str:
        """One line per layer, columns aligned; columns without values are left out.

        `gradient` is the root mean square of the loss's gradient with respect to the
        pre-activations, `weight gradient` that with respect to the kernel.
        """
        shown = {
            title: name
            for title, name in COLUMNS.items()
            if any(not math.isnan(getattr(layer, name)) for layer in self.layers)
        }
        has_jacobians = any(layer.singular_values.size for layer in self.layers)
        titles = [*shown, *(["Jacobian s.v."] if has_jacobians else [])]
        rows = []
        for layer in self.layers:
            numbers = [getattr(layer, name) for name in shown.values()]
            cells = ["" if math.isnan(n) else f"{n:.3g}" for n in numbers]
            if has_jacobians:
                cells.append(_range_of(layer))
            rows.append([layer.name, layer.kind, *cells])
        return text_table(["layer", "kind", *titles], rows, text=(0, 1))

    @describes_figure
    def plot(self, path: str | None = None) -> Any:
        """Draws the numbers in the manner of Glorot and Bengio's figures 2, 6, 7, 8.

        The figure shows the mean and spread of the outputs over the layers, and, layer
        by layer, histograms of the outputs, of the back-propagated gradients and of the
        weights' gradients.

        {{path_to_import_error}}
        """
        return plot_signals(self, path)

    def __str__(self) -> str:
        lines = [self.table(), self.verdict]
        if self.not_reached:
            names = ", ".join(self.not_reached)
            lines.append(f"Not reached, since they take other inputs: {names}.")
        return "\n".join(lines)


def _range_of(layer: LayerSignal) -> str:
    values = layer.singular_values
    return f"{values.min():.2g} to {values.max():.2g}" if values.size else ""


def signal_propagation(
    model: keras.Model,
    x: Any,
    y: Any = None,
    loss: Any = None,
    *,
    jacobian_rows: int = 0,
) -> SignalPropagation:
    """Measures how signals and gradients pass through a model, and names what is wrong.

    A network trains well if outputs keep their spread from layer to layer on the way
    forward, and gradients keep theirs on the way back. One compiled pass over a batch
    measures both. Dropout is off, as in inference, and BatchNormalization normalizes by
    the batch, as in training. The model stays as it is.

    Hidden layers of the same kind are compared with one another, since pooling,
    look-ups, recurrence and skips change the scale of signals for good reasons.

    The result lists layers that hold a kernel or embeddings, recurrent layers, and
    activation layers, also inside attention, nested and subclassed models.

    If a model has a `train_step` and no `call`, as a GAN does, the networks in it that
    take `x` are measured, each by itself.

    Args:
        model: `keras.Model`. If it is not built, it is built from `x`, with the weights
            that `fit` would begin with.
        x: Inputs as in training, all that `fit` takes: arrays, tensors, data frames,
            lists or dicts of them, or a `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator, of which some batches are taken (of a generator
            one, which is then lost to it). Faults of the inputs are findings.
        y: Targets. None to measure no gradients, unless a dataset holds targets and
            there is a loss.
        loss: Loss as in `compile`; None for the loss that the model was compiled with.
        jacobian_rows: Int >= 0, samples of `x` for which the singular values of the
            Jacobian of the outputs with respect to each layer are computed. It takes
            one backward pass for each output unit.

    Returns:
        `SignalPropagation`, with `table()`, `plot()`, `findings` and a `verdict`.

    Raises:
        TypeError: If `model` is no Keras model, or Keras does not accept the data.
        ValueError: If the model has no loss for `y`, or the data do not fit. In these
            cases no weights have been changed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import signal_propagation
    >>> init = keras.initializers.RandomNormal(stddev=0.01, seed=1)
    >>> hidden = [keras.layers.Dense(8, "tanh", kernel_initializer=init) for _ in "abc"]
    >>> model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
    >>> x = np.random.default_rng(0).normal(size=(32, 4))
    >>> result = signal_propagation(model, x, x[:, :1], "mse")
    >>> [finding.kind for finding in result.findings]
    ['vanishing signal', 'vanishing gradient']

    Reference:
        Glorot and Bengio, 2010. https://proceedings.mlr.press/v9/glorot10a.html;
        Jacobians: Saxe et al., 2014. https://arxiv.org/abs/1312.6120
    """
    batch = checked_batch(OWNER, model, x, y, finite=False)
    if not is_integer(jacobian_rows) or not 0 <= jacobian_rows <= batch.rows:
        raise ValueError(
            "signal_propagation: `jacobian_rows` must be an int from 0 to the number "
            f"of samples. Received: jacobian_rows={jacobian_rows!r}, with {batch.rows} "
            "samples in `x`."
        )
    targets = batch.y
    if y is None and loss is None and not has_loss(batch.networks[0]):
        # Those of a dataset, which nobody asked to go back from.
        targets = None
    parts = []
    for network in batch.networks:
        with normalizing_as_in_training(network, batch.x):
            part = measure_network(network, batch.x, targets, loss, jacobian_rows)
        parts.append(part if network is model else part.under(network.name))
    of_arrays = [*findings_of_arrays(batch.x), *findings_of_targets(targets)]
    return SignalPropagation(
        tuple(layer for part in parts for layer in part.layers),
        parts[0].loss if len(parts) == 1 else math.nan,
        (*of_arrays, *(finding for part in parts for finding in part.findings)),
        tuple(batch.others),
        any(map(is_trained, batch.networks)),
    )
