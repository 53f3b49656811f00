"""Canaries: every private name of Keras that the engine builds on is as it was.

Where one fails on a new version of Keras, its seam says what it is used for and what
breaks; the function to mend is in `keras_deeptools/engine/_keras_private`.
"""

import ast
import inspect
import random
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_deeptools
from keras_deeptools import attach
from keras_deeptools.engine import Feature
from keras_deeptools.engine._keras_private import optimizers, registry, training
from keras_deeptools.engine._keras_private.seam import (
    LAST_KNOWN,
    KerasSeamError,
    Seam,
    Theme,
    private,
    samples,
)

FOLDER = Path(keras_deeptools.__file__).parent / "engine" / "_keras_private"


def make_model(optimizer="sgd"):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, loss="mse")
    return model


@pytest.fixture
def broken(monkeypatch):
    """A registry in which Keras lacks one seam of the optimizers."""
    lost = Seam("Optimizer._gone", "steering", "nothing can be steered", lambda: False)
    theme = Theme((lost,), "schedules")
    monkeypatch.setitem(registry.THEMES, "optimizers", theme)
    registry._missing.cache_clear()
    yield
    registry._missing.cache_clear()


@pytest.mark.parametrize("seam", registry.SEAMS, ids=lambda seam: seam.name)
def test_the_seam_is_where_the_engine_expects_it(seam):
    assert seam.holds(), f"{seam.name}: {seam.used_for}; without it {seam.breaks}"
    samples.forget()


def test_every_seam_says_what_it_is_for_and_what_breaks():
    assert all(
        seam.used_for and seam.breaks and seam.seen_in for seam in registry.SEAMS
    )


@pytest.mark.backend_free
def test_every_private_name_in_the_modules_belongs_to_a_seam():
    named = set(re.findall(r"\b_[a-z]\w*", " ".join(s.name for s in registry.SEAMS)))
    # Kept and put back as a whole where they are there.
    named |= {"_called", "_operations", "_compiled_trainable_state"}
    named |= {"_jit_compile", "_eval_epoch_iterator", "_initial_epoch"}
    found = set()
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text())
        own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        for node in ast.walk(tree):
            text = getattr(node, "attr", getattr(node, "value", None))
            if isinstance(text, str) and re.fullmatch(r"_[a-z]\w*", text):
                found |= {text} - own
    assert sorted(found - named) == []


@pytest.mark.backend_free
def test_every_function_is_used_outside():
    users = " ".join(
        path.read_text()
        for path in FOLDER.parents[1].rglob("*.py")
        if path.parent != FOLDER
    )
    within = " ".join(path.read_text() for path in FOLDER.glob("*.py"))
    for path in FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                used = rf"\b{node.name}\b"
                times = len(re.findall(rf"{used}\(", within))
                assert re.search(used, users) or times > 1, node.name


def test_the_joined_methods_are_called_in_their_order():
    called = []
    optimizer = keras.optimizers.Adam(0.01)
    model = make_model(optimizer)
    for name in optimizers.JOINED:
        method = getattr(optimizer, name)

        def seam(*args, name=name, method=method):
            called.append(name)
            return method(*args)

        optimizer.__dict__[name] = seam
    model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    assert tuple(called[:3]) == optimizers.JOINED


def test_attach_names_what_a_version_of_keras_lacks(broken):
    with pytest.raises(KerasSeamError) as raised:
        attach(make_model(), Feature())
    message = str(raised.value)
    for part in ("attach:", "Optimizer._gone", keras.__version__, "steering"):
        assert part in message
    assert "nothing can be steered" in message
    assert f"known to work is Keras {LAST_KNOWN}" in message
    assert message.endswith("Without it these still work: schedules.")


def test_a_model_is_left_as_it_was_where_a_seam_is_missing(broken):
    model = make_model()
    before = set(vars(model.optimizer))
    with pytest.raises(KerasSeamError):
        attach(model, Feature())
    assert set(vars(model.optimizer)) == before


def test_a_check_that_raises_counts_as_missing():
    assert not Seam("x", "y", "z", lambda: 1 / 0).is_intact()


def test_each_theme_is_looked_at_once(monkeypatch):
    looks = []
    seam = Seam("x", "y", "z", lambda: looks.append(1) or True)
    monkeypatch.setitem(registry.THEMES, "layers", Theme((seam,), "schedules"))
    registry._missing.cache_clear()
    registry.check_seams("attach", "layers")
    registry.check_seams("attach", "layers")
    registry._missing.cache_clear()
    assert len(looks) == 1


def test_the_check_draws_nothing_and_names_nothing():
    keras.utils.set_random_seed(3)
    layer = keras.layers.Dense(1)
    number = int(re.sub(r"\D", "", layer.name) or 0)
    python, numpy = random.getstate(), np.random.get_state()[1].copy()
    registry._missing.cache_clear()
    registry.check_seams("attach", *registry.THEMES)
    assert random.getstate() == python
    assert (np.random.get_state()[1] == numpy).all()
    assert keras.layers.Dense(1).name == f"dense_{number + 1}"


def test_what_passes_is_said_in_the_log(caplog):
    registry._missing.cache_clear()
    with caplog.at_level("DEBUG", logger="keras_deeptools"):
        registry.check_seams("attach", "saving")
    (record,) = caplog.records
    assert f"Keras {keras.__version__}: 2 of 2 canaries of 'saving' pass" in str(
        record.getMessage()
    )


def test_nothing_is_left_of_the_check():
    registry._missing.cache_clear()
    registry.check_seams("attach", *registry.THEMES)
    assert not vars(samples)


def test_fit_changes_no_attribute_that_a_snapshot_leaves():
    model = make_model()
    x, y = np.ones((4, 3)), np.ones((4, 2))
    model.fit(x, y, verbose=0, validation_data=(x, y))
    kept = {*training.KEPT_BY_SNAPSHOTS, *training.NOT_KEPT}
    before = dict(vars(model))
    model.fit(x, y, verbose=0, validation_data=(x, y))
    changed = {n for n, v in vars(model).items() if v is not before.get(n)}
    # State of the backend's own, which each `fit` hands over.
    assert not {n for n in changed - kept if not n.startswith("_jax")}


@pytest.mark.parametrize(
    "assigned", ["self._freshly_made = 1", "self.kept = self._lost = 2"]
)
def test_an_attribute_that_a_newer_fit_assigns_is_noticed(monkeypatch, assigned):
    (seam,) = [s for s in training.SEAMS if s.name.startswith("Trainer.fit")]
    monkeypatch.setattr(inspect, "getsource", lambda method: assigned)
    assert not seam.is_intact()


def test_a_slot_of_another_name_is_noticed(monkeypatch):
    (seam,) = [s for s in optimizers.SEAMS if "Adam._momentums" in s.name]
    monkeypatch.delitem(optimizers.SECOND_MOMENTS, "_velocities")
    assert not seam.is_intact()


@pytest.mark.one_backend
def test_import_checks_nothing():
    code = (
        "import keras_deeptools.engine as engine\n"
        "from keras_deeptools.engine._keras_private import registry\n"
        "assert registry._missing.cache_info().currsize == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_module_of_keras_is_named():
    with pytest.raises(KerasSeamError, match=r"keras\.src\.backend\.no_such\.thing"):
        private("backend.no_such", "thing")
