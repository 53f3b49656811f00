"""Forgetting compiled steps on torch."""

from typing import Any


def forget(model: Any) -> None:
    """Makes the model trace its train step again."""
    if model.train_function is not None:
        model.make_train_function(force=True)
