"""Imports Keras before anything else of a module, or reports a missing backend.

The public modules import this file first. The package itself and the launcher of a
search do not, because they work without Keras.
"""

from keras_deeptools._backend_check import BACKENDS, missing_backend


def import_keras() -> None:
    """Imports Keras with its backend.

    Raises:
        ModuleNotFoundError: If the backend is not installed.
    """
    try:
        import keras  # noqa: F401
    except ModuleNotFoundError as error:
        message = missing_backend(error.name) if error.name in BACKENDS else None
        if message is None:
            raise
        # The place in Keras where the import failed does not help the user.
        raise ModuleNotFoundError(message, name=error.name) from None


import_keras()
