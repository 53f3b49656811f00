"""Selects the layers of a chain that are pretrained."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._graph.tensors import Link

ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
)


def hidden_layers(
    owner: str, links: list[Link], names: Iterable[str] | None
) -> tuple[list[int], dict[str, str]]:
    """Returns the positions of the layers to pretrain, and why others are left out.

    Args:
        owner: Str, who is named in errors.
        links: The chain.
        names: Names of layers; None: all that can be pretrained, except the last one.

    Returns:
        List of ints, in the order of the chain, and a dict from the name of each other
        layer with weights to a reason.

    Raises:
        ValueError: If there is none, or a named layer cannot be pretrained.
    """
    reasons = {}
    possible = {}
    for position, link in enumerate(links):
        if getattr(link.operation, "weights", ()):
            reason = _reason_to_leave(link, links)
            if reason:
                reasons[link.operation.name] = reason
            else:
                possible[link.operation.name] = position
    if names is None:
        chosen = list(possible)[:-1]
        reasons |= {name: "last layer" for name in list(possible)[-1:]}
    else:
        chosen = _checked_names(owner, names, possible, reasons)
        reasons |= {name: "not chosen" for name in possible if name not in chosen}
    if not chosen:
        raise ValueError(
            f"{owner}: `model` must have hidden layers, Dense, Conv1D or Conv2D, that "
            f"train. Received: a model whose layers stay as they are: {reasons}. Name "
            "those to pretrain in `layers`, the last one too where there is no head."
        )
    return sorted(possible[name] for name in chosen), reasons


def activation_after(links: list[Link], position: int) -> Link | None:
    """Returns the activation that follows a layer as a separate layer, if any.

    Normalization and dropout may come between them: layers that keep the shape and are
    not pretrained.
    """
    shape = links[position].shape
    for link in links[position + 1 :]:
        if link.shape != shape or hasattr(link.operation, "kernel"):
            return None
        if isinstance(link.operation, ACTIVATIONS):
            return link
    return None


def _checked_names(
    owner: str, names: Any, possible: dict[str, int], reasons: dict[str, str]
) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(
            f"{owner}: `layers` must be None or a list of names. Received: "
            f"layers={names!r}. Give `[{names!r}]`."
        )
    chosen = list(names)
    for name in chosen:
        if name not in possible:
            found = reasons.get(name, "no layer of the model with weights")
            raise ValueError(
                f"{owner}: `layers` must name Dense, Conv1D and Conv2D layers that can "
                f"be pretrained. Received: layers={chosen!r}, of which {name!r} is: "
                f"{found}. Give names out of {list(possible)}."
            )
    return chosen


def _reason_to_leave(link: Link, links: list[Link]) -> str:
    layer = link.operation
    kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D)
    own = next((kind for kind in kinds if isinstance(layer, kind)), None)
    if own is None or type(layer).call is not own.call:
        return "neither Dense nor Conv2D"
    if sum(other.operation is layer for other in links) > 1:
        return "used twice"
    if not layer.kernel.trainable:
        return "frozen"
    if not any(variable is layer.kernel for variable in layer.variables):
        return "kernel made of others"
    if own is not keras.layers.Dense:
        if layer.groups != 1:
            return "grouped convolution"
        if any(rate != 1 for rate in layer.dilation_rate):
            return "dilated convolution"
    return ""


CHUNK = 256
"""Samples that are computed at once."""


def passed_on(
    owner: str,
    links: list[Link],
    rows: np.ndarray,
    dtype: Any,
    weights: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Returns the outputs of a part of a chain for all samples, in inference mode.

    Args:
        owner: Str, who is named in errors.
        links: The part of the chain; may be empty.
        rows: Array of its inputs.
        dtype: Str, dtype that the first link takes.
        weights: Arrays in the place of the first link's variables, or None.

    Returns:
        Float32 array on the host.

    Raises:
        ValueError: If values are not finite.
    """
    result: np.ndarray | None = None
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        if links:
            value = ops.convert_to_tensor(chunk, dtype)
            for number, link in enumerate(links):
                value = link(value, weights if number == 0 else None)
            chunk = ops.convert_to_numpy(ops.cast(value, "float32"))
        chunk = np.asarray(chunk, "float32")
        if not np.isfinite(chunk).all():
            what = f"what {links[-1].operation.name!r} gives" if links else "`x`"
            raise ValueError(
                f"{owner}: {what} must be finite. Received: NaN or infinity in rows "
                f"{start} to {start + len(chunk) - 1}. Mend the data or the weights."
            )
        if result is None:
            result = np.empty((len(rows), *chunk.shape[1:]), "float32")
        result[start : start + len(chunk)] = chunk
    assert result is not None
    return result
