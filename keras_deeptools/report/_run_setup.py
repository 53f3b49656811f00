"""The setup of a run: versions, optimizer, loss; no names of hosts or paths."""

import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._graph.layers import layers_of
from keras_deeptools.report._markup import Markup, folded, grid, joined, paragraph


def environment(seconds: float | None = None) -> dict[str, str]:
    """Returns versions, kind of machine, duration and date.

    Args:
        seconds: Float or None, the duration of the run.
    """
    backend = keras.backend.backend()
    found = {
        "keras-deeptools": _version("keras_deeptools"),
        "Keras": keras.version(),
        "backend": f"{backend} {_version(backend)}".rstrip(),
        "precision": keras.config.dtype_policy().name,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}".strip(),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    if seconds is not None:
        found["duration"] = duration(seconds)
    return found


def _version(package: str) -> str:
    """Returns the version of a package that is imported."""
    return getattr(sys.modules.get(package), "__version__", "")


def duration(seconds: float) -> str:
    """Formats a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {left:02d} s"


def compiled_with(model: keras.Model) -> dict[str, str]:
    """Returns the optimizer with its current numbers, and the loss."""
    if not model.compiled or model.optimizer is None:
        return {}
    config = model.optimizer.get_config()
    numbers = [
        f"{name}={value:g}"
        for name, value in config.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value
    ]
    kind = type(model.optimizer).__name__
    found = {"optimizer": f"{kind}({', '.join(numbers)})"}
    return found if model.loss is None else found | {"loss": _name(model.loss)}


def _name(thing: Any) -> str:
    if isinstance(thing, Mapping):
        return ", ".join(f"{key}: {_name(value)}" for key, value in thing.items())
    if isinstance(thing, (list, tuple)):
        return ", ".join(map(_name, thing))
    if isinstance(thing, str):
        return thing
    own = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return str(own or type(thing).__name__)


MOST_OPEN = 25


def model_table(model: keras.Model) -> Markup:
    """Returns every layer with its kind, output shape and parameters; then the totals.

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
    """Returns whether it is a weight and not the state of a random generator."""
    return "float" in str(variable.dtype)


def _size(variable: Any) -> int:
    size = 1
    for length in variable.shape:
        size *= length
    return size


def _shape(layer: keras.Layer) -> str:
    """Returns the shape of the first call; empty if Keras does not know it."""
    try:
        shapes = keras.tree.map_structure(lambda t: tuple(t.shape), layer.output)
    except (AttributeError, ValueError):
        return ""
    return str(shapes)
