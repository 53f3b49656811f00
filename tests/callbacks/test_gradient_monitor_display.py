"""What `GradientMonitor` shows: one remedy for each kind, and short names."""

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import GradientMonitor

pytestmark = pytest.mark.one_backend


@pytest.fixture(scope="module")
def monitor():
    """After some updates of twelve sigmoid layers."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(640, 4)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype("int32")
    hidden = [keras.layers.Dense(20, "sigmoid", name=f"hidden_{i}") for i in range(12)]
    model = keras.Sequential([*hidden, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    monitor = GradientMonitor(on_problem="ignore")
    model.fit(x, y, epochs=2, batch_size=16, verbose=0, callbacks=[monitor])
    assert len(monitor.findings) > 3
    return monitor


def test_a_remedy_is_said_once_for_each_kind(monitor):
    kinds = {finding.kind for finding in monitor.findings}
    assert monitor.table().count("Use ReLU-like activations") == len(kinds) == 1


def test_layers_in_a_row_are_named_by_the_first_and_the_last(monitor):
    last = len(monitor.findings) - 1
    expected = f"The same in hidden_1/kernel to hidden_{last}/kernel."
    assert monitor.table().endswith(expected)


def test_names_in_the_table_leave_out_the_model(monitor):
    table = monitor.table().splitlines()
    assert table[2].startswith("hidden_0/kernel ")


def test_a_plot_shows_kernels(monitor):
    heat, _ = monitor.plot().axes[:2]
    shown = [label.get_text() for label in heat.get_yticklabels()]
    assert all(name.endswith("kernel") for name in shown)
    assert len(shown) == 13


def test_a_plot_shows_biases_where_they_are_asked_for(monitor):
    heat, _ = monitor.plot(biases=True).axes[:2]
    assert len(heat.get_yticklabels()) == len(monitor.variables)
