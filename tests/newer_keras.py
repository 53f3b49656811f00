"""Tests of what only a newer Keras has are skipped on older ones, by name."""

from pathlib import Path

import keras
import pytest
from packaging.version import Version

FIRST_IN = {
    "MultiOptimizer": "3.15",
    "OptimizerMap": "3.15",
    "ReversibleEmbedding": "3.12",
    "ScheduleFreeAdamW": "3.14",
}
"""Names of Keras -> the first version that has them."""

TESTS = Path(__file__).parent


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
