"""Tracing the train step anew when what takes part in it has changed."""

from typing import Any

from keras_deeptools.engine._compiled_functions import forget_compiled
from keras_deeptools.engine._kept_trace import find_trace
from keras_deeptools.engine._tensors import tensors


def trace_again(model: Any) -> None:
    """Lets the model trace its train step anew, if it has one, as features need it."""
    if model is None:
        return
    forget_compiled(model)
    if not find_trace(model) and getattr(model, "train_function", None) is not None:
        tensors.fresh_step_function(model)


def forget_trace(model: Any) -> None:
    """Lets the model make its train step anew when it next trains."""
    if model is None:
        return
    forget_compiled(model)
    if getattr(model, "train_function", None) is not None:
        model.train_function = None
