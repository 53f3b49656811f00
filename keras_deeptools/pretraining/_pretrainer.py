"""A model that trains copies of an encoder's weights."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._passes.functional_call import ModelFunction
from keras_deeptools.pretraining._encoder import Encoder


class Pretrainer(keras.Model):
    """Holds the encoder's weights as its own; the encoder's model is only read.

    Subclasses say in `call` what to compute and in `loss_of` what to minimize.
    It computes in the encoder's precision, with float16 under a loss scale.

    Args:
        encoder: `Encoder`.
        seed: Int >= 0, of all that is random in training.
    """

    def __init__(self, encoder: Encoder, seed: int) -> None:
        super().__init__(name="pretrainer", dtype=encoder.policy, autocast=False)
        self.noise_seed = keras.random.SeedGenerator(seed)
        self.input_type = encoder.inputs.dtype
        self.encoder = Copied(self, encoder.function, seed)
        self.measures: dict[str, keras.metrics.Mean] = {}

    def taken(self, inputs: Any) -> Any:
        """Inputs in the dtype that the encoder takes."""
        return ops.cast(inputs, self.input_type)

    def measure(self, **values: Any) -> dict[str, Any]:
        """Takes a batch into the means of an epoch, and returns all of them."""
        for name, value in values.items():
            self.measures[name].update_state(value)
        return self.get_metrics_result()

    def loss_of(self, outputs: Any) -> Any:
        """What is to be small, of what `call` returns."""
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of the outputs, and those of the encoder's regularizers."""
        loss = self.loss_of(y_pred)
        return sum((ops.cast(each, loss.dtype) for each in self.losses), loss)


class Copied:
    """A `ModelFunction` on weights that another model owns.

    Args:
        owner: `keras.Model` that gets the weights.
        function: `ModelFunction`.
        seed: Int >= 0. The states of random layers are drawn from it.
    """

    def __init__(self, owner: keras.Model, function: ModelFunction, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._owner, self._function = owner, function
        self.trainable = [copied(owner, each, each) for each in function.trainable]
        self.states = []
        for state in function.states:
            value = state
            if function.is_seed(state):
                value = generator.integers(2**31 - 1, size=state.shape)
            self.states.append(copied(owner, state, value))

    def __call__(self, inputs: Any, training: bool) -> Any:
        """The output; in training, states move on and regularizers add their losses."""
        outputs, states, losses = self._function(
            self.trainable, self.states, inputs, training
        )
        triples = zip(self.states, self._function.states, states, strict=True)
        for own, original, new in triples:
            # Writing what has not changed would spoil gradients that go through it.
            if new is not own and (training or self._function.is_seed(original)):
                own.assign(new)
        for loss in losses:
            self._owner.add_loss(loss)
        return outputs

    def values(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Trained weights and states, on the host."""
        return [on_host(v) for v in self.trainable], [on_host(v) for v in self.states]


def copied(
    owner: keras.Model, variable: Any, value: Any, regularizer: Any = None
) -> Any:
    """A weight of `owner` that is as `variable`, with a value of its own."""
    copy = owner.add_weight(
        shape=variable.shape,
        initializer="zeros",
        dtype=variable.dtype,
        name=variable.name,
        trainable=variable.trainable,
        regularizer=regularizer,
        constraint=variable.constraint,
    )
    # Through the host: compiled steps reuse the memory of what they train.
    copy.assign(on_host(value))
    return copy


def on_host(value: Any) -> np.ndarray:
    """A copy of a variable or a tensor in numpy."""
    if isinstance(value, keras.Variable):
        value = value.value
    return np.array(ops.convert_to_numpy(value))
