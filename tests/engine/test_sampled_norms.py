"""Samples of tensors whose length is known in the step only."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_deeptools.engine._backends.sampled_norms import sample, scaled_up

# As TensorFlow shows the gradient of an embedding in a graph.
UNKNOWN = SimpleNamespace(shape=(None, 4))


@pytest.mark.backend_free
@pytest.mark.parametrize("limit", [None, 8])
def test_a_tensor_of_unknown_length_is_not_sampled(limit: int | None) -> None:
    assert sample(UNKNOWN, limit) is UNKNOWN


@pytest.mark.backend_free
@pytest.mark.parametrize("limit", [None, 8])
def test_the_norm_of_a_tensor_of_unknown_length_is_exact(limit: int | None) -> None:
    norms = np.ones(1, "float32")
    assert scaled_up(norms, [UNKNOWN], limit) is norms
