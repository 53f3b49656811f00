"""Training of small nets in one compiled loop; the backend must be JAX.

`fit` would spend most of its time between the steps of so small a net.
"""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np


def compiled(model: keras.Model, loss: Callable, momentum: float) -> Callable:
    """A function that trains from given variables and predicts held-out rows.

    Args:
        model: Built `keras.Model`, whose own weights stay.
        loss: Function of targets and outputs.
        momentum: Float, of SGD.

    Returns:
        Function of trainable variables, other variables, rate, `x`, `y`, the rows of
        each batch `(updates, batch)` and held-out inputs; gives their outputs.

    Raises:
        RuntimeError: If the backend is not JAX.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            "compiled: the backend must be JAX. Received: "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=jax."
        )
    optimizer = keras.optimizers.SGD(0.01, momentum)
    optimizer.build(model.trainable_variables)
    place = [v is optimizer._learning_rate for v in optimizer.variables].index(True)
    slots = [variable.value for variable in optimizer.variables]

    def mean_loss(weights: list, others: list, x: Any, y: Any) -> tuple:
        outputs, others = model.stateless_call(weights, others, x, training=True)
        return keras.ops.mean(loss(y, outputs)), others

    def train(
        weights: list,
        others: list,
        rate: Any,
        x: Any,
        y: Any,
        batches: Any,
        held: Any,
    ) -> Any:
        def step(state: tuple, rows: Any) -> tuple:
            weights, others, slots = state
            gradient = jax.grad(mean_loss, has_aux=True)
            gradients, others = gradient(weights, others, x[rows], y[rows])
            weights, slots = optimizer.stateless_apply(slots, gradients, weights)
            return (weights, others, slots), None

        start = [rate if i == place else slot for i, slot in enumerate(slots)]
        state, _ = jax.lax.scan(step, (weights, others, start), batches)
        return model.stateless_call(*state[:2], held, training=False)[0]

    return jax.jit(train)


def drawn_batches(seed: int, num_rows: int, updates: int, size: int) -> np.ndarray:
    """Rows of each batch, `(updates, size)`: one permutation after the other."""
    rng = np.random.default_rng(seed)
    passes = -(-updates * size // num_rows)
    rows = np.concatenate([rng.permutation(num_rows) for _ in range(passes)])
    return rows[: updates * size].reshape(updates, size)


def judged(outputs: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Score in percent (of one output: R squared, 0 if less), and loss."""
    outputs = np.nan_to_num(outputs.astype("float64"), posinf=0, neginf=0)
    if outputs.shape[1] > 1:
        right = np.maximum(outputs[np.arange(len(y)), y], 1e-7)
        return 100 * np.mean(outputs.argmax(axis=1) == y), -np.log(right).mean()
    loss = np.mean((outputs[:, 0] - y) ** 2)
    return 100 * max(0.0, 1 - loss / y.var()), min(loss, 1e6)
