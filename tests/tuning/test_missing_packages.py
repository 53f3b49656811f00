import sys

import keras
import pytest

from keras_deeptools import tuning
from keras_deeptools.tuning import _ON_KERAS_TUNER

pytestmark = pytest.mark.backend_free

LAZY = pytest.mark.parametrize("name", _ON_KERAS_TUNER)


def forget(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    """As in a process where the name was never asked for and the package is missing."""
    assert getattr(tuning, name)  # so that what is here comes back after the test
    file = f"keras_deeptools.tuning.{_ON_KERAS_TUNER[name]}"
    monkeypatch.delitem(vars(tuning), name)
    monkeypatch.delitem(sys.modules, file)
    monkeypatch.setitem(sys.modules, package, None)


@LAZY
def test_what_stands_on_keras_tuner_names_it_where_it_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch, name, "keras_tuner")
    with pytest.raises(ImportError, match=rf"{name} needs .*keras-deeptools\[tuner\]"):
        getattr(tuning, name)


@LAZY
def test_it_names_tensorboard_where_trials_would_fail_without_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch, name, "tensorboard")
    if keras.backend.backend() != "tensorflow":
        assert getattr(tuning, name)
        return
    with pytest.raises(ImportError, match=r"no package tensorboard.*\[tuner\]"):
        getattr(tuning, name)


@LAZY
def test_each_name_is_listed(name: str) -> None:
    assert name in tuning.__all__
