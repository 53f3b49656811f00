"""Other values in the variables of a model, for a while."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._patching import replaced


class StandIns:
    """Values that stand in for a model's own until these are put back.

    Args:
        model: `keras.Model`, or None where no compiled step holds the variables.

    Attributes:
        model: The model, or None.
        own: List of tuples of a `keras.Variable` and a tensor, the model's own value of
            each variable that shows another one now.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._state.temporary_weights import StandIns
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> stand_ins = StandIns(model)
    >>> stand_ins.show([(model.weights[1], keras.ops.ones(1))])
    >>> model.get_weights()[1].tolist()
    [1.0]
    >>> stand_ins.hide()
    >>> model.get_weights()[1].tolist()
    [0.0]
    """

    def __init__(self, model: keras.Model | None) -> None:
        self.model = model
        self.own: list[tuple[Any, Any]] = []

    def show(self, values: list[tuple[Any, Any]]) -> None:
        """Shows values; to be called between steps.

        Args:
            values: List of tuples of a `keras.Variable` and a tensor or array of its
                shape, of any floating type.
        """
        if self.model is not None:
            training.synchronize(self.model)
        variables = [variable for variable, _ in values]
        own = tensors.snapshot(variables, None)
        self.own += zip(variables, own, strict=True)
        for variable, value in values:
            # A copy: two variables must not share memory that a step may reuse.
            variable.assign(ops.cast(ops.copy(value), variable.dtype))

    def hide(self) -> None:
        """Puts back the model's own values; does nothing where they are there."""
        own, self.own = self.own, []
        if own and self.model is not None:
            training.synchronize(self.model)
        # One that was shown twice had its own value the first time.
        for variable, value in reversed(own):
            variable.assign(value)

    def keep(self) -> None:
        """Leaves the values that are shown in place for good."""
        self.own = []

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Puts the model's own values back where an error ends its `evaluate`."""
        if self.model is None:
            yield
            return
        evaluate = self.model.evaluate

        @functools.wraps(evaluate)
        def evaluate_or_hide(*args: Any, **kwargs: Any) -> Any:
            try:
                return evaluate(*args, **kwargs)
            except BaseException:
                self.hide()
                raise

        with replaced(self.model, "evaluate", evaluate_or_hide):
            yield


def constrained_values(variables: list[Any]) -> list[Any]:
    """The values of variables as Keras' constraints will leave them after the update.

    Args:
        variables: List of `keras.Variable`.

    Returns:
        List of tensors.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._state.temporary_weights import constrained_values
    >>> variable = keras.Variable([-1.0, 2.0])
    >>> variable.constraint = keras.constraints.NonNeg()
    >>> keras.ops.convert_to_numpy(constrained_values([variable])[0]).tolist()
    [0.0, 2.0]
    """
    return [
        v.value if v.constraint is None else v.constraint(v.value) for v in variables
    ]
