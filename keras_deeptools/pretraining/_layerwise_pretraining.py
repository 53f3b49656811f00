"""What pretraining layer by layer has done."""

from dataclasses import dataclass
from typing import Any

from keras_deeptools._text_table import text_table
from keras_deeptools.pretraining._pretraining import plot_history


@dataclass(frozen=True)
class PretrainedLayer:
    """One layer that was pretrained as the encoder of an autoencoder.

    Args:
        name: Str, name of the layer.
        inputs: Tuple of ints, the shape of a row of its inputs.
        outputs: Tuple of ints, the shape of a row of its outputs.
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
class LayerwisePretraining:
    """What `pretrain_layerwise` has done to a model.

    Args:
        layers: Tuple of `PretrainedLayer`, in the order of the model.
        left: Dict from the name of a layer with weights that was left as it was to the
            reason.
        seed: Int, what all random numbers came from.

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
        """The layers as lines of text: sizes, loss, first and last epoch."""
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

        Losses of different layers are of different inputs: compare the shapes of the
        curves, not their heights.

        On the matplotlib axes `ax`, or on those of a new figure; returns the axes.
        """
        history = {layer.name: layer.history for layer in self.layers}
        return plot_history("LayerwisePretraining.plot", history, ax)
