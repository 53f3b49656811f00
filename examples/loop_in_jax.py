"""A training loop in JAX: `jax.jit`, `stateless_call` and `stateless_apply`.

KERAS_BACKEND=jax python examples/loop_in_jax.py
"""

from typing import Any

import jax
import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    OneCycleScheduler,
    WeightAveraging,
)

State = tuple[list, list, list]


def compiled_step(model: keras.Model, optimizer: Any) -> Any:
    """The step of the training as one compiled function of the state."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss_and_updates(trained: list, others: list, x: Any, y: Any) -> Any:
        scores, others = model.stateless_call(trained, others, x, training=True)
        return loss_of(y, scores), others

    gradients_of = jax.value_and_grad(loss_and_updates, has_aux=True)

    def step(state: State, x: Any, y: Any) -> tuple[Any, State]:
        trained, others, optimizer_state = state
        (loss, others), gradients = gradients_of(trained, others, x, y)
        trained, optimizer_state = optimizer.stateless_apply(
            optimizer_state, gradients, trained
        )
        return loss, (trained, others, optimizer_state)

    return jax.jit(step, donate_argnums=0)


def variables_of(model: keras.Model, optimizer: Any) -> tuple[list, list, list]:
    """The variables whose values the step is given and returns."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        optimizer.variables,
    )


def taken(variables: tuple[list, list, list]) -> State:
    """The values of the variables."""
    trained, others, of_optimizer = ([v.value for v in each] for each in variables)
    return trained, others, of_optimizer


def given_back(variables: tuple[list, list, list], state: State) -> None:
    """Assigns the values to the variables."""
    for each, values in zip(variables, state, strict=True):
        for variable, value in zip(each, values, strict=True):
            variable.assign(value)


def main(epochs: int = 15, batch_size: int = 64) -> float:
    """Returns the accuracy on the test set."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    layers = [keras.layers.Dense(64, "relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10)])
    optimizer = keras.optimizers.AdamW()
    optimizer.build(model.trainable_variables)

    num_batches = len(x) // batch_size
    monitor = GradientMonitor(on_problem="ignore")
    averaging = WeightAveraging(0.98)
    step = compiled_step(model, optimizer)
    with attach(
        optimizer,
        monitor,
        GradientClipper(global_norm=1.0),
        OneCycleScheduler(0.01, total_steps=epochs * num_batches),
        averaging,
    ):
        # After attaching: what is attached is part of the optimizer's state.
        state = taken(variables_of(model, optimizer))
        for epoch in range(epochs):
            order = np.random.default_rng(epoch).permutation(len(x))
            for rows in np.split(order[: num_batches * batch_size], num_batches):
                _, state = step(state, x[rows], y[rows])
        # Before the end of the block: what was recorded comes back with the state.
        given_back(variables_of(model, optimizer), state)
        with averaging.shown():
            averages = model.get_weights()
    model.set_weights(averages)
    result = float((np.argmax(model.predict(x_test, verbose=0), -1) == y_test).mean())
    print(f"accuracy, averaged weights: {result:.3f}")
    print(monitor.table())
    return result


if __name__ == "__main__":
    main()
