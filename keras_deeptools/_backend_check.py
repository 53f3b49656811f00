"""Which backends of Keras are installed, and the error if one is missing."""

import importlib.util
import os

BACKENDS = ("tensorflow", "jax", "torch")
VARIABLE = "KERAS_BACKEND"


def installed_backends() -> list[str]:
    """Returns the backends that are installed, without importing them."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def missing_backend(chosen: str | None, option: str = "") -> str | None:
    """Explains in one line why Keras cannot be imported with a backend.

    The error of Keras is only "No module named 'tensorflow'", also for users who have
    another backend and have only not selected it.

    Args:
        chosen: Str, the backend that Keras is to use; None if nobody has chosen.
        option: Str, the option of a command line that chose it, if one did.

    Returns:
        Str, what is missing and what to do; None if nothing is missing.

    Example:

    >>> from keras_deeptools._backend_check import missing_backend
    >>> missing_backend(None)
    """
    installed = installed_backends()
    if not installed:
        return (
            "keras_deeptools: a backend of Keras must be installed (TensorFlow, JAX or "
            'torch), and none is. Install one with `pip install "keras-deeptools'
            '[tensorflow]"`, or [jax], [torch], or [cpu] for TensorFlow without GPU '
            f"support. For JAX or torch set {VARIABLE}=jax or {VARIABLE}=torch before "
            "Keras is imported."
        )
    if chosen is None or chosen not in BACKENDS or chosen in installed:
        return None
    received = f"{VARIABLE} is not set, and Keras takes {chosen}"
    if option:
        received = f"{option} {chosen}"
    elif os.environ.get(VARIABLE):
        received = f"{VARIABLE}={chosen}"
    change = f"Give {option} {installed[0]}"
    if not option:
        change = f"Set {VARIABLE}={installed[0]} before Keras is imported"
    return (
        f"keras_deeptools: the backend {chosen} must be installed. Received: "
        f"{received}. Installed: {', '.join(installed)}. {change}, or install it with "
        f'`pip install "keras-deeptools[{chosen}]"`.'
    )
