"""Training loops of a user's own, as they are written on each backend."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")


def network(name="net"):
    layer = keras.layers.Dense(1, use_bias=False, name="dense")
    model = keras.Sequential([keras.Input((3,)), layer], name=name)
    model.set_weights([np.array([[0.5], [0.1], [-0.3]], "float32")])
    return model


class Loop:
    """Trains a network in a step that is compiled where that is usual."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer
        self.step = self.compiled()
        if BACKEND == "jax":
            optimizer.build(model.trainable_variables)

    def run(self, steps=3, state=None, assign=True):
        """Makes updates; on JAX from a state, which is returned and assigned."""
        if BACKEND != "jax":
            for _ in range(steps):
                self.step(X, Y)
            return None
        state = self.state() if state is None else state
        for _ in range(steps):
            state = self.step(*state, X, Y)
        if assign:
            held = (self.model.trainable_variables, self.optimizer.variables)
            for variables, values in zip(held, state, strict=True):
                # What was read before attaching is shorter.
                for variable, value in zip(variables, values, strict=False):
                    variable.assign(value)
        return state

    def state(self):
        held = (self.model.trainable_variables, self.optimizer.variables)
        return tuple([v.value for v in variables] for variables in held)

    def compiled(self):
        model, optimizer = self.model, self.optimizer

        def loss_of(x, y):
            return ops.mean(ops.square(model(x, training=True) - y))

        if BACKEND == "tensorflow":
            import tensorflow as tf

            @tf.function
            def step(x, y):
                with tf.GradientTape() as tape:
                    loss = loss_of(x, y)
                weights = model.trainable_variables
                optimizer.apply(tape.gradient(loss, weights), weights)

            return step
        if BACKEND == "torch":
            import torch

            def step(x, y):
                model.zero_grad()
                loss_of(torch.tensor(x), torch.tensor(y)).backward()
                weights = model.trainable_variables
                with torch.no_grad():
                    optimizer.apply([v.value.grad for v in weights], weights)

            return step
        import jax

        def stateless_loss(trained, x, y):
            return ops.mean(ops.square(model.stateless_call(trained, [], x)[0] - y))

        @jax.jit
        def step(trained, optimizer_state, x, y):
            gradients = jax.grad(stateless_loss)(trained, x, y)
            return optimizer.stateless_apply(optimizer_state, gradients, trained)

        return step


def kernel(model):
    return model.get_weights()[0]
