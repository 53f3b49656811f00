"""The networks of Glorot and Bengio, 2010, table 1, and what the paper found.

- Softsign, Tanh, Sigmoid: weights U[-r, r], r = 1 / sqrt(fan-in), the paper's
  "standard" initialization
- Softsign N, Tanh N: r = sqrt(6 / (fan-in + fan-out)), its "normalized" one
"""

from dataclasses import dataclass

import keras

from keras_deeptools.initializers import FanScaling

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclass(frozen=True)
class Method:
    """A row of table 1.

    Attributes:
        activation: Str.
        normalized: Bool, which initialization.
        paper: Dict, test error in percent that the paper reports.
        depth: Int, hidden layers.
    """

    activation: str
    normalized: bool
    paper: dict[str, float]
    depth: int = 5

    def network(self, num_inputs: int, num_classes: int, width: int) -> keras.Model:
        """Hidden layers, and logits on top."""
        init = initializer(self.normalized)
        hidden = [
            keras.layers.Dense(
                width, self.activation, kernel_initializer=init, name=f"layer_{i + 1}"
            )
            for i in range(self.depth)
        ]
        last = keras.layers.Dense(num_classes, kernel_initializer=init, name="logits")
        return keras.Sequential([keras.Input((num_inputs,)), *hidden, last])


METHODS = {
    "Softsign": Method("softsign", False, {"shapeset": 16.27, "mnist": 1.64}),
    "Softsign N": Method("softsign", True, {"shapeset": 16.06, "mnist": 1.72}),
    "Tanh": Method("tanh", False, {"shapeset": 27.15, "mnist": 1.76}),
    "Tanh N": Method("tanh", True, {"shapeset": 15.60, "mnist": 1.64}),
    "Sigmoid": Method("sigmoid", False, {"shapeset": 82.61, "mnist": 2.21}, depth=4),
}


def initializer(normalized: bool) -> FanScaling:
    """The paper's equation 16, or its equation 1: a uniform of variance 1 / (3 fan)."""
    if normalized:
        return FanScaling(mode="fan_avg", distribution="uniform")
    return FanScaling(3**-0.5, mode="fan_in", distribution="uniform")
