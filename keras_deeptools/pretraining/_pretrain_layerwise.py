"""Greedy pretraining of the hidden layers of a model, one after the other."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_model,
    checked_option,
    checked_seed,
    checked_verbose,
    message,
)
from keras_deeptools._text_table import NotebookText, text_table
from keras_deeptools.engine._graph.tensors import chain_of
from keras_deeptools.engine._state.random_state import seeded
from keras_deeptools.pretraining._autoencoder import Autoencoder, checked_corruption
from keras_deeptools.pretraining._hidden_layers import (
    activation_after,
    hidden_layers,
    passed_on,
)
from keras_deeptools.pretraining._pretraining import (
    checked_optimizer,
    checked_rows,
    plot_history,
)

OWNER = "pretrain_layerwise"
LOSSES = ("auto", "mean_squared_error", "binary_crossentropy")

RATE = 0.003
"""Learning rate of Adam. With 0.001, upper layers need many more epochs."""


@dataclass(frozen=True)
class PretrainedLayer:
    """One layer that was pretrained as the encoder of an autoencoder.

    Args:
        name: Str, name of the layer.
        inputs: Tuple of ints, the shape of a sample of its inputs.
        outputs: Tuple of ints, the shape of a sample of its outputs.
        loss: Str, the loss of the reconstruction: `"mean_squared_error"` or
            `"binary_crossentropy"`.
        history: Tuple of floats, that loss by epoch, over the batches of the epoch,
            with the noise on the inputs and the layer's regularizers.

    Example:

    >>> from keras_deeptools.pretraining import PretrainedLayer
    >>> PretrainedLayer("dense", (4,), (2,), "mean_squared_error", (0.5, 0.2)).history
    (0.5, 0.2)
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    loss: str
    history: tuple[float, ...]


@dataclass(frozen=True)
class LayerwisePretraining(NotebookText):
    """The result of `pretrain_layerwise`.

    Args:
        layers: Tuple of `PretrainedLayer`, in the order of the model.
        left: Dict from the name of a layer with weights that was not changed to the
            reason.
        seed: Int, the seed of all random numbers.

    Example:

    >>> from keras_deeptools.pretraining import LayerwisePretraining, PretrainedLayer
    >>> layer = PretrainedLayer("dense", (4,), (2,), "mean_squared_error", (0.5, 0.2))
    >>> print(LayerwisePretraining((layer,), {"head": "last layer"}, seed=0))
    layer  inputs  outputs  loss                epochs  first   last
    dense       4        2  mean_squared_error       2    0.5    0.2
    Left as they were: head (last layer).
    """

    layers: tuple[PretrainedLayer, ...]
    left: dict[str, str]
    seed: int

    def table(self) -> str:
        """Returns the layers as lines of text: sizes, loss, first and last epoch."""
        titles = ["layer", "inputs", "outputs", "loss", "epochs", "first", "last"]
        rows = []
        for layer in self.layers:
            sizes = ["x".join(map(str, s)) for s in (layer.inputs, layer.outputs)]
            ends = [f"{loss:.4g}" for loss in (layer.history[0], layer.history[-1])]
            epochs = str(len(layer.history))
            rows.append([layer.name, *sizes, layer.loss, epochs, *ends])
        return text_table(titles, rows, text=(0, 3))

    def __str__(self) -> str:
        if not self.left:
            return self.table()
        named = ", ".join(f"{name} ({why})" for name, why in self.left.items())
        return f"{self.table()}\nLeft as they were: {named}."

    def plot(self, ax: Any = None) -> Any:
        """Draws the loss of each layer over its epochs.

        Losses of different layers belong to different inputs, so compare the shapes of
        the curves, not their heights.

        It draws on the matplotlib axes `ax`, or on those of a new figure, and returns
        the axes.
        """
        history = {layer.name: layer.history for layer in self.layers}
        return plot_history("LayerwisePretraining.plot", history, ax)


class Progress(keras.callbacks.Callback):
    """Counts epochs over several calls of `fit`.

    Args:
        total: Int, epochs in all.
        verbose: 0 (silent) or 1.

    Attributes:
        stage: Int, number of the layer that is trained, shown beside the loss.
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
        """Advances the bar."""
        self.done += 1
        values = [("layer", self.stage), ("loss", (logs or {})["loss"])]
        self.bar.update(self.done, values, finalize=self.done == self.total)


def pretrain_layerwise(
    model: keras.Model,
    x: Any,
    *,
    layers: Iterable[str] | None = None,
    tied: bool = True,
    noise: str = "masking",
    noise_level: float | Sequence[float] = 0.1,
    loss: str = "auto",
    epochs: int | Sequence[int] = 50,
    batch_size: int | Sequence[int] = 32,
    optimizer: Any = None,
    seed: int | None = None,
    verbose: str | int = "auto",
) -> LayerwisePretraining:
    """Pretrains the hidden layers of a model without labels, one after the other.

    It is meant for deep networks of saturating units (sigmoid, tanh) with few labels
    and many inputs without labels. Each layer learns, as the encoder of an autoencoder,
    to reconstruct its own inputs from a noisy version of them; the next layer learns on
    its outputs. Then compile and `fit` on the labels as usual. Networks of ReLU with He
    initialization gain little or nothing; see the guide.

    It pretrains trainable `Dense`, `Conv1D` and `Conv2D` layers, kernel and bias,
    except the last one, the head. Other layers compute in inference mode: dropout is
    off, and BatchNormalization uses its moving averages. An activation layer that
    follows a layer belongs to it. Grouped and dilated convolutions are not changed.

    The weights are written into the model at the very end, all at once; after an error
    or Ctrl-C the model is unchanged. Its optimizer, its compiled functions and its head
    do not change. Host memory holds at most the inputs of two layers at a time for all
    samples of `x`, as float32; samples go from one layer to the next 256 at a time.

    Args:
        model: `keras.Model`, functional or a built Sequential, whose layers form a
            chain; nested models are entered. It does not need to be compiled.
        x: Array of inputs without labels, with all samples in memory.
        layers: Names of the layers to pretrain, or None for all hidden ones.
        tied: Bool. Whether the decoder's kernel is the transpose of the encoder's.
        noise: `"masking"` sets elements of a layer's inputs to zero, `"gaussian"` adds
            normal noise, `"none"` makes plain autoencoders.
        noise_level: Float, or a list of one for each layer. For masking the fraction of
            elements in [0, 1), for Gaussian noise its standard deviation >= 0 in the
            units of the layer's inputs.
        loss: `"mean_squared_error"`, whose decoder is linear; `"binary_crossentropy"`,
            whose decoder ends in a sigmoid, for inputs in [0, 1]; `"auto"`: the latter
            for each layer all of whose inputs are in [0, 1].
        epochs: Int >= 1, or a list of one for each layer.
        batch_size: Int >= 1, or a list of one for each layer.
        optimizer: Name or `keras.optimizers.Optimizer`, or a list of one for each
            layer. Each layer gets a fresh copy; the one given does not change. None:
            Adam with a learning rate of 0.003.
        seed: Int >= 0 or None. Decoders, noise and order of the samples come from it,
            so that the result is the same each time on a backend. None takes one from
            Python's random state. No other random state changes.
        verbose: `"auto"`, 0 (silent) or 1 (progress bar over the epochs of all layers).

    Returns:
        `LayerwisePretraining`: loss by epoch of each layer; you can print or plot it.

    Raises:
        TypeError: If `model` is not a Keras model, or an argument has the wrong type.
        ValueError: If the model branches or has no hidden layers, `x` does not fit, an
            argument is out of range, or values are not finite. The model is then
            unchanged.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.pretraining import pretrain_layerwise
    >>> hidden = [keras.layers.Dense(8, "sigmoid", name=name) for name in ("a", "b")]
    >>> head = keras.layers.Dense(3, "softmax", name="head")
    >>> model = keras.Sequential([keras.Input((16,)), *hidden, head])
    >>> x = np.random.default_rng(0).uniform(size=(64, 16))
    >>> result = pretrain_layerwise(model, x, epochs=2, seed=0, verbose=0)
    >>> [(layer.name, len(layer.history)) for layer in result.layers], result.left
    ([('a', 2), ('b', 2)], {'head': 'last layer'})

    Reference:
        Bengio et al., 2007, section 3; Vincent et al., 2010, section 3,
        https://jmlr.org/papers/v11/vincent10a.html. As in that paper, inputs of higher
        layers are computed from clean inputs; convolutions are our extension.
    """
    checked_model(OWNER, model)
    links = chain_of(model, OWNER)
    chosen, left = hidden_layers(OWNER, links, layers)

    def each(argument: str, value: Any, check: Callable[[Any], Any]) -> list[Any]:
        return for_each_layer(OWNER, argument, value, len(chosen), check)

    corruptions = each(
        "noise_level", noise_level, lambda v: checked_corruption(OWNER, noise, v)
    )
    checked_bool(OWNER, "tied", tied)
    checked_option(OWNER, "loss", loss, LOSSES)
    all_epochs = each("epochs", epochs, lambda v: checked_count(OWNER, "epochs", v))
    sizes = each(
        "batch_size", batch_size, lambda v: checked_count(OWNER, "batch_size", v)
    )
    chosen_optimizer = keras.optimizers.Adam(RATE) if optimizer is None else optimizer
    optimizers = each(
        "optimizer", chosen_optimizer, lambda v: checked_optimizer(OWNER, v)
    )
    checked_verbose(OWNER, verbose, (0, 1))
    given_seed = checked_seed(OWNER, seed)
    rows = checked_rows(OWNER, model, x)

    drawn_seed = random.randrange(2**31) if given_seed is None else given_seed
    progress = Progress(sum(all_epochs), 0 if verbose == 0 else 1)
    done: list[PretrainedLayer] = []
    found: list[list[np.ndarray]] = []
    with seeded(drawn_seed):
        rows = passed_on(OWNER, links[: chosen[0]], rows, model.inputs[0].dtype)
        for number, position in enumerate(chosen):
            progress.stage = number + 1
            autoencoder = Autoencoder(
                links[position],
                activation_after(links, position),
                rows.shape[1:],
                tied,
                corruptions[number],
                seed=random.randrange(2**31),
            )
            own = optimizers[number]
            layer = _trained(
                autoencoder,
                rows,
                loss,
                type(own).from_config(own.get_config()),
                epochs=all_epochs[number],
                batch_size=sizes[number],
                callbacks=[progress],
            )
            weights = autoencoder.values()
            done.append(layer)
            found.append(weights)
            if number + 1 < len(chosen):
                between = links[position : chosen[number + 1]]
                rows = passed_on(OWNER, between, rows, "float32", weights)
    for position, weights in zip(chosen, found, strict=True):
        for variable, value in zip(links[position].variables, weights, strict=True):
            variable.assign(value)
    return LayerwisePretraining(tuple(done), left, drawn_seed)


def _trained(
    autoencoder: Autoencoder,
    rows: np.ndarray,
    loss: str,
    optimizer: Any,
    **fit_arguments: Any,
) -> PretrainedLayer:
    """Trains one autoencoder, and returns what to report of it."""
    layer = autoencoder.link.operation
    in_unit_interval = bool(rows.min() >= 0 and rows.max() <= 1)
    if loss == "auto":
        loss = LOSSES[2] if in_unit_interval else LOSSES[1]
    if loss == "binary_crossentropy" and not in_unit_interval:
        raise ValueError(
            f"{OWNER}: `loss` must be 'mean_squared_error' or 'auto' where inputs are "
            f"not in [0, 1]. Received: loss={loss!r} and inputs of {layer.name!r} "
            f"between {rows.min():.3g} and {rows.max():.3g}."
        )
    if loss == "binary_crossentropy":
        autoencoder.compile(optimizer, keras.losses.BinaryCrossentropy(True))
    else:
        autoencoder.compile(optimizer, keras.losses.MeanSquaredError())
    history = autoencoder.fit(rows, rows, verbose=0, **fit_arguments).history["loss"]
    if not np.isfinite(history).all():
        raise ValueError(
            f"{OWNER}: the loss of every epoch must be finite. Received: {history} "
            f"for {layer.name!r}. Scale `x`, or give an `optimizer` with a smaller "
            "rate."
        )
    return PretrainedLayer(
        layer.name,
        tuple(rows.shape[1:]),
        tuple(layer.compute_output_shape((None, *rows.shape[1:]))[1:]),
        loss,
        tuple(float(each) for each in history),
    )


def for_each_layer(
    owner: str, argument: str, value: Any, count: int, check: Callable[[Any], Any]
) -> list[Any]:
    """Returns one checked value for each layer, from one for all or from a list."""
    if not isinstance(value, list | tuple):
        return [check(value)] * count
    if len(value) != count:
        rule = f"one value, or a list of one for each of the {count} pretrained layers"
        raise ValueError(message(owner, argument, rule, value))
    return [check(each) for each in value]
