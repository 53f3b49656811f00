"""Tests of what only a newer Keras has are skipped on older ones, by name."""

from pathlib import Path

import keras
import pytest
from packaging.version import Version

from keras_deeptools.engine._keras_private.random import set_global_generator

FIRST_IN = {
    "MultiOptimizer": "3.15",
    "OptimizerMap": "3.15",
    "ReversibleEmbedding": "3.12",
    "ScheduleFreeAdamW": "3.14",
}
"""Names of Keras -> the first version that has them."""

TESTS = Path(__file__).parent


def needs_keras(first: str, what: str, backend: str = "") -> pytest.MarkDecorator:
    """A mark that skips a test of what Keras itself does since a version.

    Args:
        first: Str, the version.
        what: Str, what Keras does.
        backend: Str, the backend that it is about; empty for all.
    """
    old = Version(keras.__version__) < Version(first)
    old = old and backend in ("", keras.backend.backend())
    return pytest.mark.skipif(old, reason=f"{what} needs Keras >= {first}")


def seed_as_newer_keras() -> None:
    """Lets `set_random_seed` seed the draws of Keras too, as it does since 3.13."""
    if Version(keras.__version__) >= Version("3.13"):
        return
    seed_others = keras.utils.set_random_seed

    def set_random_seed(seed: int) -> None:
        seed_others(seed)
        set_global_generator(None)

    keras.utils.set_random_seed = set_random_seed


KERAS_FAILS = (
    ("_should_use_adamw", "'path'", "3.13", "Muon on TensorFlow"),
    ("<lambda>", "object __array__ method not", "3.14", "bfloat16 in train_on_batch"),
)
"""Function of Keras, part of its error, the first version without it, what fails."""


def skip_if_keras_fails(error: Exception) -> None:
    """Skips the running test if an older Keras itself fails, without this package."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback and traceback.tb_frame.f_code
    if code is None or "/keras/src/" not in Path(code.co_filename).as_posix():
        return
    for function, part, first, what in KERAS_FAILS:
        old = Version(keras.__version__) < Version(first)
        if old and code.co_name == function and part in str(error):
            pytest.skip(f"{what} needs Keras >= {first}")


def skip_if_newer(error: AttributeError) -> None:
    """Skips the running test if the name that it lacks came with a newer Keras.

    Only where the test asks for it itself: the package may not ask for such a name.
    """
    name = getattr(error.obj, "__name__", "")
    first = FIRST_IN.get(error.name or "")
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    asked = traceback and Path(traceback.tb_frame.f_code.co_filename)
    if first is None or not asked or not asked.is_relative_to(TESTS):
        return
    if Version(keras.__version__) < Version(first):
        pytest.skip(f"{name}.{error.name} needs Keras >= {first}")
