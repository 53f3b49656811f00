"""What notebooks show: text that keeps its columns, tables for pandas, pictures."""

import pickle

import keras
import numpy as np
import pytest

import keras_deeptools
from keras_deeptools import transfer, tuning, uncertainty
from keras_deeptools._text_table import notebook_html

pytestmark = pytest.mark.one_backend

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def network(units=1, activation="sigmoid", loss="binary_crossentropy"):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.5)]
    output = keras.layers.Dense(units, activation)
    model = keras.Sequential([keras.Input((4,)), *hidden, output])
    model.compile("adam", loss)
    return model


@pytest.fixture(scope="module")
def monitor():
    """After an epoch of four updates."""
    monitor = keras_deeptools.GradientMonitor(on_problem="ignore")
    network().fit(X, Y, batch_size=8, verbose=0, callbacks=[monitor])
    return monitor


@pytest.fixture(scope="module")
def fine_tuning():
    """Three epochs in two phases."""
    phases = (
        transfer.FineTuningPhase("head", 0, 1, 0.002, 8, True),
        transfer.FineTuningPhase("all layers", 1, 2, 0.001, 43, False),
    )
    history = {"loss": [0.9, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.7]}
    return transfer.FineTuning(history, [0, 1, 2], phases, "val_loss", 1, 0.6, True, 0)


def search_report():
    trials = (
        tuning.SearchedTrial("0", 1, "completed", {"units": 16}, score=0.8),
        tuning.SearchedTrial("1", 2, "completed", {"units": 64}, score=0.9),
    )
    return tuning.SearchReport(trials, "val_accuracy", True)


def predictions(model):
    return keras_deeptools.mc_predict(model, X, num_samples=5, seed=0, verbose=0)


def test_text_is_escaped_and_keeps_its_columns():
    shown = notebook_html("a  <b>")
    assert "a  &lt;b&gt;" in shown
    assert "white-space: pre" in shown


@pytest.mark.parametrize(
    "make",
    [
        lambda: transfer.FineTuning({"loss": [1.0]}, [0], (), "loss", 0, 1.0, True, 0),
        search_report,
        lambda: predictions(network()),
        lambda: uncertainty.reliability_diagram(np.full(4, 0.5), [0, 1, 0, 1]),
        lambda: keras_deeptools.initialize(network(), seed=0),
        lambda: transfer.layer_groups(network()),
        lambda: keras_deeptools.find_learning_rate(network(), X, Y, verbose=0),
    ],
)
def test_a_notebook_shows_what_print_does(make):
    thing = make()
    assert thing._repr_html_() == notebook_html(str(thing))


def test_a_notebook_shows_the_table_of_a_monitor(monitor):
    assert monitor._repr_html_() == notebook_html(monitor.table())


def test_a_monitor_is_a_frame_with_a_line_for_each_update_and_variable(monitor):
    pandas = pytest.importorskip("pandas")
    frame = monitor.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 4 * len(monitor.variables)
    of_first = frame[frame["variable"] == monitor.variables[0]]
    np.testing.assert_array_equal(of_first["norm"], monitor.history["norm"][:, 0])


def test_a_range_test_is_a_frame_of_rates_and_losses():
    pytest.importorskip("pandas")
    found = keras_deeptools.find_learning_rate(network(), X, Y, verbose=0)
    frame = found.to_dataframe()
    assert list(frame.columns) == ["learning_rate", "loss"]
    np.testing.assert_array_equal(frame["loss"], found.losses)


def test_a_fine_tuning_is_a_frame_of_epochs_with_their_phase(fine_tuning):
    pytest.importorskip("pandas")
    frame = fine_tuning.to_dataframe()
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["phase"].tolist() == ["head", "all layers", "all layers"]
    assert frame["val_loss"].tolist() == [0.8, 0.6, 0.7]


def test_a_search_is_a_frame_of_trials_the_best_first():
    pytest.importorskip("pandas")
    frame = search_report().to_dataframe()
    assert frame["score"].tolist() == [0.9, 0.8]
    assert frame["units"].tolist() == [64, 16]


def test_predictions_are_a_frame_of_samples():
    pytest.importorskip("pandas")
    found = predictions(network(3, "softmax", "sparse_categorical_crossentropy"))
    frame = found.to_dataframe()
    np.testing.assert_array_equal(frame["mean_2"], found.mean[:, 2])
    np.testing.assert_array_equal(frame["mutual_information"], found.mutual_information)


def test_the_plot_of_a_fine_tuning_marks_phases_and_the_best_epoch(fine_tuning):
    legend = fine_tuning.plot().get_legend().get_texts()
    shown = [text.get_text() for text in legend]
    assert shown[:2] == ["training", "validation"]
    assert {"phase: head", "phase: all layers", "best val_loss"} <= set(shown)


def test_a_notebook_shows_the_figure_of_a_monitor(monitor):
    figure = monitor.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure))._repr_png_()


def test_the_plot_of_probabilities_is_of_entropies():
    ax = predictions(network(3, "softmax", "sparse_categorical_crossentropy")).plot()
    assert ax.get_xlabel() == "nats"


def test_the_plot_of_values_is_of_means_with_their_deviations():
    ax = predictions(network(1, None, "mse")).plot()
    means = predictions(network(1, None, "mse")).mean
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.sort(means.ravel()))


def test_several_outputs_have_no_frame():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(4)(inputs))
    outputs = [keras.layers.Dense(1)(hidden), keras.layers.Dense(2)(hidden)]
    found = predictions(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match="one output of one shape"):
        found.to_dataframe()
