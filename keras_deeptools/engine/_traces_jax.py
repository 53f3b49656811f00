"""Forgetting compiled steps on JAX."""

from typing import Any

import jax


def forget(model: Any) -> None:
    """Makes the model trace every step again.

    All of them map lists of values to lists of variables, and which variable is in
    which list changes with what is trained. `jax.jit` would find the old trace again
    through the equality of bound methods, even after `compile`.
    """
    for step in (model.train_step, model.test_step):
        jax.jit(step).clear_cache()
    model.test_function = None
    model.predict_function = None
    if model.train_function is not None:
        model.make_train_function(force=True)
