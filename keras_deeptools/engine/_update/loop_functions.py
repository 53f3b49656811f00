"""Functions that a loop of the user's compiles, and that update an optimizer.

What was attached while such a function was traced is part of its trace for ever, and
the optimizer does not know who calls it. So the calls that are being traced are looked
for once, while the update is traced, and the functions are traced anew when something
is attached or detached. Those that a model's train step names are found by its code,
see `train_step`.
"""

import weakref
from typing import Any

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._update.step_reads import is_from_library, undecorated

_functions: weakref.WeakKeyDictionary[Any, weakref.WeakSet] = (
    weakref.WeakKeyDictionary()
)


def note_functions(optimizer: Any) -> None:
    """Notes the user's functions that are being traced, and update an optimizer.

    Args:
        optimizer: Keras optimizer, the outermost.
    """
    for function in training.functions_in_trace():
        if not is_from_library(undecorated(function)):
            _functions.setdefault(optimizer, weakref.WeakSet()).add(function)


def forget_functions(optimizer: Any) -> None:
    """Lets the functions that were noted trace anew at their next call.

    Args:
        optimizer: Keras optimizer, the outermost.
    """
    for function in list(_functions.get(optimizer, ())):
        training.forget_traced(function)
