"""What a recipe changes, as lines that can be read."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._keras_private.layers import flat_layers

SHOWN = ("axis", "scale", "offset", "dims")
"""Settings of added layers that are told."""


def differences(recipe: Any, model: keras.Model) -> list[str]:
    """Lines of `- before` and `+ after`.

    Args:
        recipe: `Recipe`.
        model: `keras.Model` that it changes.
    """
    lines = []
    for position, layers in recipe.front.items():
        names = list(getattr(model, "input_names", None) or [])
        place = "the first layer" if len(names) < 2 else f"input {names[position]!r}"
        lines += [f"+ {_layer_text(layer)} in front of {place}" for layer in layers]
    configs = {layer.name: layer for layer in flat_layers(model)}
    for name, changes in recipe.layers.items():
        before = _config_of(configs.get(name))
        for key, value in changes.items():
            lines += _change(f"{name}: {key}", before.get(key), value)
    lines += [f"+ {_layer_text(layer)} after the last layer" for layer in recipe.back]
    if recipe.unfrozen:
        lines += ["- trainable=False for some layers", "+ trainable=True for all"]
    losses = getattr(model, "loss", None)
    for position, loss in recipe.losses.items():
        names = list(getattr(model, "output_names", None) or [])
        place = "" if len(names) < 2 else f" of {names[position]!r}"
        before = _loss_at(losses, position, names)
        lines += _change(f"compile: loss{place}", before, loss)
    if recipe.loss_weight is not None:
        lines.append(f"+ compile: loss_weights=[{_text(recipe.loss_weight)}]")
    settings = _settings_of(model.optimizer)
    for key, value in recipe.optimizer.items():
        lines += _change(f"optimizer: {key}", settings.get(key), value)
    lines += [f"+ fit: {key}={_text(value)}" for key, value in recipe.fit.items()]
    if recipe.data_text:
        lines.append(f"+ data: {recipe.data_text}")
    return lines


def _change(place: str, before: Any, after: Any) -> list[str]:
    """Nothing where the two read alike, as initializers that draw anew do."""
    old, new = _text(before), _text(after)
    return [] if old == new else [f"- {place}={old}", f"+ {place}={new}"]


def _config_of(layer: Any) -> dict[str, Any]:
    if layer is None:
        return {}
    try:
        return {"class_name": type(layer).__name__, **layer.get_config()}
    except NotImplementedError:
        return {}


def _settings_of(optimizer: Any) -> dict[str, Any]:
    config = optimizer.get_config()
    inner = config.get("inner_optimizer")
    return inner["config"] if isinstance(inner, dict) else config


def _loss_at(losses: Any, position: int, names: list[str]) -> Any:
    if isinstance(losses, dict):
        return losses.get(names[position])
    if isinstance(losses, (list, tuple)):
        return losses[position]
    return losses


def _layer_text(layer: Any) -> str:
    if not isinstance(layer, keras.Layer):
        return f"keras.ops.{layer.__name__}"
    config = {k: v for k, v in layer.get_config().items() if k in SHOWN and v}
    settings = ", ".join(f"{key}={_text(value)}" for key, value in config.items())
    return f"{type(layer).__name__}({settings})"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        inner = value.get("config")
        numbers = inner if isinstance(inner, dict) else {}
        settings = ", ".join(
            f"{key}={_text(each)}"
            for key, each in numbers.items()
            if isinstance(each, (int, float)) and not isinstance(each, bool)
        )
        name = str(value.get("class_name", value))
        return f"{name}({settings})" if settings else name
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, np.ndarray)) and len(np.ravel(value)) > 6:
        return f"[{len(np.ravel(value))} numbers]"
    if isinstance(value, keras.Layer) or hasattr(value, "get_config"):
        return type(value).__name__
    return repr(value)
