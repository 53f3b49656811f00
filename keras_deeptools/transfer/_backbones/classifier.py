"""A new head on a backbone."""

from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_bool,
    checked_count,
    checked_option,
    checked_rate,
    known_elsewhere_as,
    message,
)
from keras_deeptools.layers import MCDropout


def pooling_layer(pooling: str, rank: int, name: str) -> keras.Layer:
    """A layer that pools over all places.

    Args:
        pooling: Str, `"avg"` or `"max"`.
        rank: Int, 4 for a map `(batch, height, width, features)`, or with the features
            first as Keras is configured; 3 for tokens `(batch, tokens, features)`.
        name: Str, name of the layer.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.transfer._backbones.classifier import pooling_layer
    >>> tokens = np.arange(6.0).reshape(1, 3, 2)
    >>> [round(float(x)) for x in pooling_layer("avg", 3, "mean")(tokens)[0]]
    [2, 3]
    """
    layers = keras.layers
    if rank == 4:
        maps = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
        return maps[pooling](name=name)
    # Tokens have their features last, whatever images have.
    rows = {"avg": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D}
    return rows[pooling](data_format="channels_last", name=name)


_OWNER = "classifier"
_HEADS = ("average", "concat")


@known_elsewhere_as(num_classes="classes n_classes n_out", dropout_rate="dropout")
def classifier(
    backbone: keras.Model,
    num_classes: int,
    head: str = "average",
    dropout_rate: float = 0.2,
    *,
    mc: bool = False,
    hidden_units: int = 512,
    activation: str | None = "softmax",
) -> keras.Model:
    """A model for other classes: a backbone with a newly initialized head.

    Args:
        backbone: `keras.Model` with a graph and one output, a map of features, tokens
            `(batch, tokens, features)` or a vector; its layers are shared, not copied.
        num_classes: Int >= 1.
        head: `"average"`: the mean over the map, dropout, one dense layer. `"concat"`,
            as in fastai: mean and maximum side by side, then twice batch normalization,
            dropout and a dense layer, with ReLU between; the first dropout layer has
            half the dropout rate. The maximum responds to small objects in large
            images.
        dropout_rate: Float in [0, 1). 0 leaves the dropout layers out.
        mc: Bool, whether the dropout layers are `keras_deeptools.layers.MCDropout`,
            which `uncertainty.mc_predict` samples from. The saved model then needs this
            package to load.
        hidden_units: Int >= 1, units between the two dense layers of `"concat"`.
        activation: Str or None, of the outputs: `"softmax"`; `"sigmoid"` for one class
            or for several classes that do not exclude one another; None for logits.

    Returns:
        `keras.Model`, functional, from the inputs of the backbone to outputs
        `(batch, num_classes)` in float32. The names of the new layers start with
        `"head"`.

    Raises:
        ValueError: If an argument is out of its range, or the backbone has no graph or
            no output that fits the head.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import classifier
    >>> conv = keras.layers.Conv2D(4, 3, name="body")
    >>> body = keras.Sequential([keras.Input((8, 8, 3)), conv])
    >>> model = classifier(body, 10, head="concat", hidden_units=16, mc=True)
    >>> [layer.name for layer in model.layers[2:5]]
    ['head_average', 'head_maximum', 'head_concat']
    >>> [layer.rate for layer in model.layers if "dropout" in layer.name]
    [0.1, 0.2]

    Reference:
        Howard & Gugger, 2020, fastai's `create_head`. https://arxiv.org/abs/2002.04688
    """
    checked_option(_OWNER, "head", head, _HEADS)
    num_classes = checked_count(_OWNER, "num_classes", num_classes)
    hidden_units = checked_count(_OWNER, "hidden_units", hidden_units)
    rate = checked_rate(_OWNER, "dropout_rate", dropout_rate)
    dropout = MCDropout if checked_bool(_OWNER, "mc", mc) else keras.layers.Dropout
    if num_classes == 1 and activation == "softmax":
        rule = "other than 'softmax' for one class, of which it is always 1"
        remedy = "Give activation='sigmoid'."
        raise ValueError(message(_OWNER, "activation", rule, activation, remedy))
    features = _features(backbone, head)
    if head == "average":
        x = _average(features)
    else:
        x = _hidden(features, dropout, rate / 2, hidden_units)
        x = keras.layers.BatchNormalization(name="head_batch_norm")(x)
    if rate:
        x = dropout(rate, name="head_dropout")(x)
    outputs = keras.layers.Dense(
        num_classes, activation=activation, dtype="float32", name="head_outputs"
    )(x)
    inputs = backbone.inputs if len(backbone.inputs) > 1 else backbone.inputs[0]
    return keras.Model(inputs, outputs, name=f"{backbone.name}_classifier")


def _hidden(features: Any, dropout: type, rate: float, num_units: int) -> Any:
    """Both poolings and the first dense layer of the head `"concat"`."""
    rank = len(features.shape)
    largest = pooling_layer("max", rank, name="head_maximum")(features)
    x = keras.layers.Concatenate(name="head_concat")([_average(features), largest])
    x = keras.layers.BatchNormalization(name="head_hidden_batch_norm")(x)
    if rate:
        x = dropout(rate, name="head_hidden_dropout")(x)
    dense = keras.layers.Dense(num_units, use_bias=False, name="head_hidden")
    return keras.layers.ReLU(name="head_relu")(dense(x))


def _average(features: Any) -> Any:
    rank = len(features.shape)
    if rank == 2:
        return features
    return pooling_layer("avg", rank, name="head_average")(features)


def _features(backbone: Any, head: str) -> Any:
    """The output of the backbone, which must fit the head."""
    if not isinstance(backbone, keras.Model):
        remedy = "Give what `transfer.backbone(name)` returns."
        raise TypeError(
            message(_OWNER, "backbone", "a `keras.Model`", backbone, remedy)
        )
    outputs = getattr(backbone, "outputs", None) or []
    if len(outputs) != 1:
        rule = "a model with a graph and one output"
        remedy = "Call it inside a functional model, or see `transfer.backbone`."
        raise ValueError(message(_OWNER, "backbone", rule, backbone.name, remedy))
    shape = outputs[0].shape
    ranks = (2, 3, 4) if head == "average" else (3, 4)
    if len(shape) not in ranks:
        kinds = "a map of features or tokens" + ", or a vector" * (head == "average")
        raise ValueError(
            f"{_OWNER}: `backbone` must give {kinds} for head={head!r}. Received: "
            f"outputs of shape {tuple(shape)}. Build it without pooling."
        )
    return outputs[0]
