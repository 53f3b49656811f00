"""Functions that users compiled for themselves, and that their train steps call."""

import types
from collections.abc import Iterator
from typing import Any

from keras_deeptools.engine._step_reads import (
    LIBRARIES,
    is_from_library,
    nested_codes,
    train_steps,
    undecorated,
)
from keras_deeptools.engine._tensors import tensors


def forget_compiled(model: Any) -> None:
    """Lets `tf.function` and `jax.jit` trace the user's functions anew.

    Otherwise they would go on with an update as it was traced before something was
    attached, or, after it, with what is not there any more. Known are those among the
    methods and attributes of the model and those that its train step names.

    Args:
        model: `keras.Model`.
    """
    if not tensors.COMPILES:
        return
    for function in _compiled(model):
        tensors.forget_function(function)


def _compiled(model: Any) -> Iterator[Any]:
    for cls in type(model).__mro__:
        if cls.__module__.partition(".")[0] in LIBRARIES:
            continue
        for name, value in vars(cls).items():
            if tensors.is_compiled(value):
                # TensorFlow keeps another one for each object.
                yield getattr(model, name)
                yield value
    for value in list(vars(model).values()):
        if tensors.is_compiled(value):
            yield value
    seen: set[int] = set()
    for step in train_steps(model):
        yield from _named_in(step, model, seen)


def _named_in(function: Any, model: Any, seen: set[int]) -> Iterator[Any]:
    """Compiled functions among what the code of a function names."""
    code = getattr(function, "__code__", None)
    if code is None or id(code) in seen or is_from_library(function):
        return
    seen.add(id(code))
    names = {name for each in nested_codes(code) for name in each.co_names}
    values = [function.__globals__.get(name) for name in names]
    values += [getattr(type(model), name, None) for name in names]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue
    for value in values:
        if tensors.is_compiled(value):
            yield value
            yield from _named_in(undecorated(value), model, seen)
        elif isinstance(value, types.FunctionType):
            yield from _named_in(value, model, seen)
