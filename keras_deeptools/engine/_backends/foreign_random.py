"""Random states of TensorFlow and torch, where a process has imported them.

`tf.data` and torch's `DataLoader` feed every backend, so what they draw from counts
whichever backend runs. What has not been imported is not imported.
"""

import sys
from collections.abc import Callable
from typing import Any


def kept() -> Callable[[], None]:
    """A function that puts back the random states of now."""
    torch_states, seeds = _torch_states(), _operation_seeds()
    tensorflow_state = None if seeds is None else seeds.getstate()

    def restore() -> None:
        if torch_states is not None:
            torch = sys.modules["torch"]
            torch.set_rng_state(torch_states[0])
            for device, state in enumerate(torch_states[1]):
                torch.cuda.set_rng_state(state, device)
        if tensorflow_state is not None:
            _operation_seeds().setstate(tensorflow_state)

    return restore


def kept_seed() -> Callable[[], None]:
    """A function that puts back what TensorFlow was seeded with, or that it was not.

    Without a seed so far, nothing to draw the seeds of operations from exists.
    """
    context = _tensorflow_context()
    seed, generator = getattr(context, "_seed", None), getattr(context, "_rng", None)

    def restore() -> None:
        if context is not None:
            context._set_global_seed(seed)
            context._rng = generator

    return restore


def reseed(seed: int) -> None:
    """Seeds both.

    Args:
        seed: Int in [0, 2**32).
    """
    context = _tensorflow_context()
    if context is not None:
        context._set_global_seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _torch_states() -> tuple[Any, list[Any]] | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):
        return None
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), devices


def _operation_seeds() -> Any:
    """What TensorFlow gives operations their seeds from, once a seed has been set."""
    return getattr(_tensorflow_context(), "_rng", None)


def _tensorflow_context() -> Any:
    module = sys.modules.get("tensorflow.python.eager.context")
    return module.context() if module else None
