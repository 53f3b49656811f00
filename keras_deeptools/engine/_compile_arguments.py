"""What a model was compiled with."""

from typing import Any

import keras


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """What to pass to `compile` for a model like this one, but for the optimizer.

    Metrics are fresh: those of the model keep their state to themselves.

    Args:
        model: `keras.Model`.

    Returns:
        Dict of arguments; empty for a model that is not compiled.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import compile_arguments
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse", metrics=["mae"])
    >>> arguments = compile_arguments(model)
    >>> arguments["loss"], arguments["metrics"]
    ('mse', ['mae'])
    """
    if not model.compiled:
        return {}
    arguments = dict(model._compile_config.config)
    arguments.pop("optimizer")
    for name in ("metrics", "weighted_metrics"):
        arguments[name] = keras.tree.map_structure(_fresh, arguments.get(name))
    return arguments


def _fresh(metric: Any) -> Any:
    if isinstance(metric, keras.metrics.Metric):
        return type(metric).from_config(metric.get_config())
    return metric
