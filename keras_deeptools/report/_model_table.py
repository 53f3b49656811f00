"""The layers of a model as a table."""

from typing import Any

import keras

from keras_deeptools.engine import layers_of
from keras_deeptools.report._markup import Markup, folded, grid, joined, paragraph

MOST_OPEN = 25


def model_table(model: keras.Model) -> Markup:
    """Every layer with its kind, output shape and weights; then the totals.

    Args:
        model: `keras.Model`, built or not.
    """
    rows = []
    for layer, variables in layers_of(model)[1:]:
        weights = [variable for variable in variables.values() if _is_weight(variable)]
        trained = [variable for variable in weights if variable.trainable]
        count = sum(map(_size, weights))
        trains = "yes" if trained else "no" if weights else ""
        rows.append(
            [layer.name, type(layer).__name__, _shape(layer), f"{count:,}", trains]
        )
    titles = ["layer", "kind", "output", "weights", "trains"]
    table = grid("Layers of the model", titles, rows)
    if len(rows) > MOST_OPEN:
        table = folded(f"All {len(rows)} layers", table)
    total = sum(map(_size, model.weights))
    trainable = sum(map(_size, model.trainable_weights))
    lead = f"{model.name}: {total:,} weights, {trainable:,} of them trainable."
    return joined([paragraph(lead), table])


def _is_weight(variable: Any) -> bool:
    """Not the state of a random generator."""
    return "float" in str(variable.dtype)


def _size(variable: Any) -> int:
    size = 1
    for length in variable.shape:
        size *= length
    return size


def _shape(layer: keras.Layer) -> str:
    """Of the first call; nothing where Keras does not know."""
    try:
        shapes = keras.tree.map_structure(lambda t: tuple(t.shape), layer.output)
    except (AttributeError, ValueError):
        return ""
    return str(shapes)
