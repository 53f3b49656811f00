"""What people do today: callbacks that work on the host, between the steps."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from side_by_side import BATCH_SIZE


class RecomputedGradients(keras.callbacks.Callback):
    """Gradient norms by a second, compiled backward pass per batch."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.function: Callable | None = None
        self.norms: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Computes and keeps the norms for this batch."""
        if self.function is None:
            self.function = _gradient_norms(self.model)
        rows = slice(batch * BATCH_SIZE, (batch + 1) * BATCH_SIZE)
        norms = self.function(self.model, self.x[rows], self.y[rows])
        self.norms.append(ops.convert_to_numpy(norms))


class LearningRatePerBatch(keras.callbacks.Callback):
    """A learning rate that is set before every batch."""

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = rates
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets it."""
        self.model.optimizer.learning_rate = self.rates[self.step]
        self.step += 1


class MaxNormPerBatch(keras.callbacks.Callback):
    """Max-norm by `get_weights` and `set_weights` after every batch."""

    def __init__(self, max_norm: float) -> None:
        super().__init__()
        self.max_norm = max_norm

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Scales back the columns of every kernel."""
        for layer in self.model.layers:
            weights = layer.get_weights()
            if weights:
                axes = tuple(range(weights[0].ndim - 1))
                norms = np.sqrt(np.sum(weights[0] ** 2, axis=axes, keepdims=True))
                weights[0] = weights[0] * np.minimum(1, self.max_norm / norms)
                layer.set_weights(weights)


def _gradient_norms(model: keras.Model) -> Callable:
    """A compiled function that returns the norm of each gradient."""
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def tape_norms(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            return tf.stack([tf.norm(gradient) for gradient in gradients])

        return lambda model, x, y: tape_norms(x, y)
    if name == "jax":
        import jax

        def loss_of(trained: list, rest: list, x: Any, y: Any) -> Any:
            outputs, _ = model.stateless_call(trained, rest, x, training=True)
            return model.compute_loss(x, y, outputs)

        @jax.jit
        def grad_norms(trained: list, rest: list, x: Any, y: Any) -> Any:
            gradients = jax.grad(loss_of)(trained, rest, x, y)
            return ops.stack([ops.norm(ops.reshape(g, (-1,))) for g in gradients])

        return lambda model, x, y: grad_norms(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            x,
            y,
        )
    import torch

    def torch_norms(model: keras.Model, x: Any, y: Any) -> Any:
        loss = model.compute_loss(x, torch.as_tensor(y), model(x, training=True))
        values = [v.value for v in model.trainable_variables]
        gradients = torch.autograd.grad(loss, values)
        return torch.stack([torch.linalg.vector_norm(g) for g in gradients])

    return torch_norms
