import getpass
import platform
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import (
    GradientMonitor,
    MaxNormEnforcer,
    OneCycleScheduler,
)
from keras_deeptools.diagnosis import Finding
from keras_deeptools.report import training_report
from keras_deeptools.transfer import FineTuning, FineTuningPhase
from report_pages import PageReader

pytestmark = pytest.mark.one_backend

FALLING = {"loss": [0.9, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.7]}


def read(history: object, *args: object, **kwargs: object) -> PageReader:
    path = training_report(history, *args, **kwargs)
    return PageReader(path.read_text("utf-8"))


def labelled(page: PageReader, label: str) -> bool:
    return label in page.values("aria-label")


@pytest.fixture(scope="module")
def run() -> SimpleNamespace:
    """A short training with monitors, and its page."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, "tanh", name="hidden"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers], name="little")
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse", metrics=["mae"])
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    monitors = [
        GradientMonitor(on_problem="ignore"),
        OneCycleScheduler(0.1),
        MaxNormEnforcer(2.0),
        keras.callbacks.EarlyStopping(patience=5),
    ]
    history = model.fit(
        x,
        x[:, :1],
        batch_size=8,
        epochs=3,
        validation_split=0.25,
        callbacks=monitors,
        verbose=0,
    )
    return SimpleNamespace(history=history, monitors=monitors, model=model)


@pytest.fixture(scope="module")
def page(run: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> PageReader:
    path = tmp_path_factory.mktemp("pages") / "run.html"
    return read(run.history, run.monitors, path, seconds=83)


def test_a_run_with_its_callbacks_becomes_one_page(page: PageReader) -> None:
    headings = [
        "At a glance",
        "Findings",
        "Learning curves",
        "Rates, momentum, gradient norm",
        "Gradients",
        "Max norm enforcer",
        "Model",
        "Setup",
    ]
    assert [text for text in page.texts if text in headings][
        : len(headings)
    ] == headings
    assert page.left_open == []


def test_rates_and_momentum_are_drawn_update_by_update(page: PageReader) -> None:
    assert {"learning_rate", "momentum", "optimizer update"} <= set(page.texts)


def test_gradients_have_a_heat_map_a_flow_and_update_ratios(page: PageReader) -> None:
    drawn = {
        "Gradient norms over the updates",
        "Gradient flow",
        "Update-to-weight ratios",
    }
    assert drawn <= set(page.texts)
    assert any(link.startswith("data:image/png") for link in page.values("xlink:href"))


def test_layers_are_named_without_what_they_have_in_common(page: PageReader) -> None:
    assert "hidden/kernel" in page.texts


def test_the_model_of_the_history_is_listed_with_its_weights(page: PageReader) -> None:
    assert "little: 21 weights, 21 of them trainable." in page.texts
    assert {"hidden", "Dense", "(None, 4)", "16"} <= set(page.texts)


def test_the_setup_names_versions_duration_and_other_callbacks(
    page: PageReader,
) -> None:
    assert {keras.version(), "1 min 23 s", "EarlyStopping", "mse"} <= set(page.texts)
    assert any(text.startswith(keras.backend.backend()) for text in page.texts)


def test_a_page_tells_neither_host_nor_user_nor_paths(page: PageReader) -> None:
    for private in (platform.node(), str(Path.cwd()), str(Path.home()), "run.html"):
        assert not private.strip("/") or private not in page.text
    assert getpass.getuser() not in page.text.split()


def test_monitors_in_a_dict_give_their_names_to_sections(run: SimpleNamespace) -> None:
    page = read(run.history, {"What went back": run.monitors[0]}, "run.html")
    assert "What went back" in page.texts and "Gradients" not in page.texts


def test_two_of_a_kind_have_sections_of_their_own(run: SimpleNamespace) -> None:
    page = read(run.history, [run.monitors[2], run.monitors[2]], "run.html")
    assert {"Max norm enforcer", "Max norm enforcer 2"} <= set(page.texts)


def test_the_best_epoch_is_that_of_the_lowest_validation_loss() -> None:
    page = read(FALLING)
    assert "3 epochs. The best is epoch 2, by val_loss." in page.texts
    assert "epoch 2: 0.6" in page.texts and "2 (best)" in page.texts


def test_fine_tuning_keeps_its_own_best_epoch_and_table() -> None:
    phases = (FineTuningPhase("head", 0, 3, 0.002, 8, True),)
    history = FALLING | {"val_accuracy": [0.5, 0.6, 0.7]}
    tuned = FineTuning(history, [0, 1, 2], phases, "val_accuracy", 2, 0.7, True, 0)
    page = read(tuned)
    assert "3 epochs. The best is epoch 3, by val_accuracy." in page.texts
    assert tuned.table() in page.texts


def test_a_resumed_run_counts_its_epochs_on() -> None:
    history = keras.callbacks.History()
    history.history, history.epoch = FALLING, [7, 8, 9]
    assert "3 epochs. The best is epoch 9, by val_loss." in read(history).texts


def test_values_of_every_second_epoch_stand_where_they_are_of() -> None:
    page = read({"loss": [4.0, 3.0, 2.0, 1.0], "val_loss": [0.7, 0.6]})
    assert "4 epochs. The best is epoch 4, by val_loss." in page.texts


def test_one_epoch_is_enough() -> None:
    assert "1 epoch. The best is epoch 1, by loss." in read({"loss": [0.5]}).texts


def test_what_is_not_one_number_an_epoch_is_named_and_left_out() -> None:
    page = read(FALLING | {"f1": [np.zeros(3)] * 3})
    assert "Not one number an epoch, so left out: f1." in page.texts


def test_ten_thousand_epochs_fit_into_a_readable_page() -> None:
    losses = np.linspace(1, 0.5, 10_000).tolist()
    path = training_report({"loss": losses})
    assert path.stat().st_size < 300_000
    assert "10000 (best)" in PageReader(path.read_text("utf-8")).texts


FINDINGS = {
    "non-finite loss": {"loss": [1.0, np.nan, np.inf]},
    "no learning": {"loss": [2.3, 2.31, 2.3, 2.32]},
    "overfitting": {"loss": [4, 3, 2, 1, 0.5], "val_loss": [4, 3, 3.2, 3.5, 3.9]},
}


@pytest.mark.parametrize("kind", FINDINGS)
def test_what_the_losses_say_is_found_with_a_remedy(kind: str) -> None:
    page = read(FINDINGS[kind])
    assert any(text.startswith(f"{kind}: ") for text in page.texts)
    assert "Remedy:" in page.texts


@pytest.mark.parametrize(
    "losses",
    [
        {"loss": [3, 2, 1, 0.9], "val_loss": [3, 2, 1.1, 1.12]},
        {"loss": [3, 2, 1, 0.9], "val_loss": [3, 2, 1.9, 1.8]},
        {"loss": [1.0, 0.9], "val_loss": [1.0, 1.1]},
    ],
)
def test_a_healthy_run_has_no_findings(losses: dict) -> None:
    assert "Remedy:" not in read(losses).texts


def test_findings_of_a_diagnosis_stand_at_the_top_with_remedies() -> None:
    finding = Finding(
        "dead", "dense_3", "All units are dead.", "Use lsuv.", code="lsuv(model, x)"
    )
    page = read(FALLING, [SimpleNamespace(findings=(finding,))])
    top = page.text.partition("Learning curves")[2].partition("Learning curves")[0]
    for text in ("dead: dense_3", "All units are dead.", "Use lsuv.", "lsuv(model, x)"):
        assert text in top


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3,), TypeError, "`history` must be a History"),
        (({"loss": []},), ValueError, "`history` must be of one epoch or more"),
        ((FALLING, 3), TypeError, "`monitors` must be a list of objects"),
        ((FALLING, [object()]), TypeError, "`monitors` must be a list of objects"),
        ((FALLING, (), "run.txt"), ValueError, "ends in .html"),
        ((FALLING, (), "run.html", 3), TypeError, "`model` must be a keras.Model"),
        ((FALLING, (), "run.html", None, ""), ValueError, "`title` must be a text"),
        ((FALLING, (), "run.html", None, "T", -1), ValueError, "`seconds` must be"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(
    arguments: tuple, error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        training_report(*arguments)
    assert not list(Path.cwd().iterdir())
