"""What a model predicts for some samples, while it trains."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import programs, training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._passes.functional_call import ModelFunction
from keras_deeptools.engine._state.random_state import RandomState
from keras_deeptools.engine._state.snapshot import ModuleState


class Predictions:
    """A compiled pass in inference that leaves the model as it is.

    Args:
        model: Built `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._function = ModelFunction(model)
        self._program = programs.compiled(
            lambda weights, states, x: self._function(weights, states, x, False)[0]
        )

    def __call__(self, x: Any) -> list[np.ndarray]:
        """The outputs as arrays.

        Args:
            x: Inputs, as the model takes them.
        """
        training.synchronize(self.model)
        random, modules = RandomState(), ModuleState(self.model)
        inputs = keras.tree.map_structure(
            lambda v: None if v is None else keras.ops.convert_to_tensor(v), x
        )
        try:
            out = self._program(
                [variable.value for variable in self._function.trainable],
                [variable.value for variable in self._function.states],
                inputs,
            )
        finally:
            modules.restore()
            random.restore()
        return [np.asarray(on_host(each)) for each in keras.tree.flatten(out)]
