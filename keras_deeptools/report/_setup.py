"""With what a run was made: versions, optimizer, loss; no names of hosts or paths."""

import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import keras
import numpy as np


def environment(seconds: float | None = None) -> dict[str, str]:
    """Versions, kind of machine, duration, date.

    Args:
        seconds: Float or None, what the run took.
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
    """Of a package that is imported."""
    return getattr(sys.modules.get(package), "__version__", "")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as one reads them."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {left:02d} s"


def compiled_with(model: keras.Model) -> dict[str, str]:
    """Optimizer with its numbers as they are now, and loss."""
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
