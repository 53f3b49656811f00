"""Checks of what users pass to `mc_predict`."""

from numbers import Integral
from typing import Any

import keras

MASKS = ("independent", "coherent")


def check_model(model: Any) -> None:
    """Raises unless `model` is a Keras model."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "mc_predict: `model` must be a keras.Model. Received: "
            f"model={model!r} of type {type(model).__name__}."
        )


def check_arguments(
    num_samples: Any,
    batch_size: Any,
    seed: Any,
    masks: Any,
    return_samples: Any,
    verbose: Any,
    adaptive: Any,
) -> None:
    """Raises for an argument that is out of range."""
    for name, value in {"num_samples": num_samples, "batch_size": batch_size}.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(
                f"mc_predict: `{name}` must be an integer >= 1. "
                f"Received: {name}={value!r}."
            )
        if value < 1:
            raise ValueError(
                f"mc_predict: `{name}` must be an integer >= 1. "
                f"Received: {name}={value!r}."
            )
    is_int = isinstance(seed, Integral) and not isinstance(seed, bool)
    if seed is not None and not is_int:
        raise TypeError(
            f"mc_predict: `seed` must be an integer or None. Received: seed={seed!r}."
        )
    if masks not in MASKS:
        raise ValueError(
            'mc_predict: `masks` must be "independent" or "coherent". '
            f"Received: masks={masks!r}."
        )
    for name, value in {"return_samples": return_samples, "adaptive": adaptive}.items():
        if not isinstance(value, bool):
            raise TypeError(
                f"mc_predict: `{name}` must be True or False. "
                f"Received: {name}={value!r}."
            )
    if adaptive and return_samples:
        raise ValueError(
            "mc_predict: `return_samples` must be False where `adaptive` is True, "
            "because rows then differ in their number of samples. Received: "
            "return_samples=True. Leave one of them out."
        )
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(
            'mc_predict: `verbose` must be "auto", 0, 1 or 2. '
            f"Received: verbose={verbose!r}."
        )
