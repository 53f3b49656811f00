"""Models and data from files, none of whose code is run."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._building.first_call import reason_of

OWNER = "diagnose"
CAUSE = "Exception encountered:"
"""What stands in Keras' errors before the reason."""

KNOWN = ("x", "y", "x_val", "y_val")


def saved_model(path: str) -> keras.Model:
    """Loads a model without running code that is in the file.

    Args:
        path: Str, a file that ends in .keras: other formats of Keras can hold code.

    Raises:
        ValueError: If there is no such file, or it holds no model that can be loaded.
    """
    file = _checked_file("model", path, ".keras")
    if not zipfile.is_zipfile(file):
        raise ValueError(
            f"{OWNER}: `model` must be what `model.save` wrote to a .keras file. "
            f"Received: {path}, which is no zip file."
        )
    try:
        with warnings.catch_warnings():
            # Keras warns of the optimizer of a model that was never trained.
            warnings.simplefilter("ignore")
            return keras.saving.load_model(file, safe_mode=True)
    except Exception as error:
        reason = reason_of(ValueError(str(error).rpartition(CAUSE)[2]))
        raise ValueError(
            f"{OWNER}: {path} cannot be loaded: {reason} Layers of your own, and "
            "Lambda layers, need their code: call `diagnose` from Python."
        ) from error


def saved_arrays(path: str) -> dict[str, np.ndarray]:
    """Reads arrays of numbers by their names.

    Args:
        path: Str, a file that ends in .npz.

    Returns:
        Dict with `"x"`, and `"y"`, `"x_val"` and `"y_val"` where they are there.

    Raises:
        ValueError: If there is no such file, it cannot be read, it holds Python
            objects, it has no `x`, or names that mean nothing here.
    """
    file = _checked_file("--data", path, ".npz")
    try:
        # Pickled objects could run code.
        with np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except Exception as error:
        raise ValueError(
            f"{OWNER}: {path} cannot be read: {reason_of(error)}"
        ) from error
    unknown = sorted(set(arrays) - set(KNOWN))
    if "x" not in arrays or unknown:
        listed = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(
            f"{OWNER}: `--data` must hold an array `x`, and may hold `y`, `x_val` and "
            f"`y_val`. Received: {path}, with {listed}. "
            "Save it with `numpy.savez(path, x=x, y=y)`."
        )
    if "y_val" in arrays and "x_val" not in arrays:
        raise ValueError(f"{OWNER}: {path} has `y_val` and no `x_val`.")
    return arrays


def validation_of(arrays: dict[str, np.ndarray]) -> Any:
    """The validation data among them, or None.

    Args:
        arrays: What `saved_arrays` returned.
    """
    if "x_val" not in arrays:
        return None
    targets = [arrays["y_val"]] if "y_val" in arrays else []
    return (arrays["x_val"], *targets)


def _checked_file(argument: str, path: str, suffix: str) -> Path:
    file = Path(path)
    found = "is no file" if file.exists() else "does not exist"
    if file.is_file():
        if file.suffix.lower() == suffix:
            return file
        found = f"does not end in {suffix}"
    raise ValueError(
        f"{OWNER}: `{argument}` must be the path of a {suffix} file. "
        f"Received: {path}, which {found}."
    )
