"""What KerasTuner needs on the active backend, beside itself."""

import importlib.util

import keras


def missing_for_tuner() -> str | None:
    """The name of a package that is missing, without which every trial would fail.

    KerasTuner imports tensorboard in each trial on TensorFlow, which no longer brings
    it.

    Returns:
        Str or None.

    Example:

    >>> from keras_deeptools.engine import missing_for_tuner
    >>> missing_for_tuner()
    """
    if keras.backend.backend() != "tensorflow":
        return None
    found = importlib.util.find_spec("tensorboard")
    return "tensorboard" if found is None else None
