import numpy as np
import pytest

from keras_deeptools.tuning._trials.watch import peak_memory, reset_peak_memory

pytestmark = pytest.mark.backend_free


def test_the_peak_counts_what_is_in_use() -> None:
    reset_peak_memory()
    rows = np.ones(25_000_000)
    assert peak_memory() > rows.nbytes


def test_a_reset_never_raises_the_peak() -> None:
    before = peak_memory()
    reset_peak_memory()
    assert peak_memory() <= before
