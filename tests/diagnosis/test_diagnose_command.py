"""`python -m keras_deeptools diagnose`: exit codes, errors, and no code from files."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_deeptools.__main__ import main
from keras_deeptools.diagnosis import Diagnosis
from keras_deeptools.layers import MCDropout

pytestmark = pytest.mark.one_backend

X = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("float32")

Files = Callable[..., list[str]]


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Writes a model and data, and returns the command's words."""
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())

    def write(*more: layers.Layer, end: str = "sigmoid", **arrays: object) -> list[str]:
        hidden = layers.Dense(8, "relu")
        stack = [keras.Input((4,)), hidden, *more, layers.Dense(1, end)]
        model = keras.Sequential(stack)
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
        model.save("model.keras")
        np.savez("data.npz", **{"x": X, "y": Y, **arrays})
        words = ["model.keras", "--data", "data.npz", "--trial-steps", "0"]
        return ["diagnose", *words]

    return write


def refusal(words: list[str], capsys: pytest.CaptureFixture) -> str:
    """What the command says on the error stream when it ends with code 2."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_healthy_model_gives_0(files: Files) -> None:
    assert main(files(MCDropout(0.2), x_val=X[:50] + 0.1, y_val=Y[:50])) == 0


def test_a_problem_gives_1_and_is_printed(
    files: Files, capsys: pytest.CaptureFixture
) -> None:
    assert main(files(end="softmax")) == 1
    assert "1. softmax over one unit (problem)" in capsys.readouterr().out


def test_the_reports_are_written_also_into_new_folders(files: Files) -> None:
    main([*files(end="softmax"), "--html", "a/page.html", "--json", "b/report.json"])
    written = Diagnosis.from_json(Path("b/report.json").read_text("utf-8"))
    assert written.kinds[0] == "softmax over one unit"
    assert "softmax over one unit" in Path("a/page.html").read_text("utf-8")


def test_json_has_no_number_that_json_does_not_know(files: Files) -> None:
    main([*files(x=np.where(X > 1, np.nan, X)), "--json", "report.json"])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = Path("report.json").read_text("utf-8")
    found = json.loads(text, parse_constant=refuse)["findings"]
    assert found[0]["kind"] == "non-finite inputs"


def test_data_that_fit_refuses_are_a_problem(files: Files) -> None:
    assert main(files(y=Y[:100])) == 1


def test_a_lambda_in_the_file_is_not_run(
    files: Files, capsys: pytest.CaptureFixture
) -> None:
    words = files(layers.Lambda(lambda tensor: 2 * tensor))
    said = refusal(words, capsys)
    assert "diagnose: model.keras cannot be loaded" in said and "Lambda" in said


@keras.saving.register_keras_serializable(package="test")
class Unknown(layers.Layer):
    pass


def test_a_layer_that_is_not_known_is_named(
    files: Files, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = files(Unknown())
    held = keras.saving.get_custom_objects()
    monkeypatch.delitem(held, "test>Unknown")
    assert "Could not locate class 'Unknown'" in refusal(words, capsys)


def test_pickled_objects_are_not_read(
    files: Files, capsys: pytest.CaptureFixture
) -> None:
    words = files(y=np.array([{}, None], dtype=object))
    assert "Object arrays cannot be loaded" in refusal(words, capsys)


BAD = {
    "a model that is not there": (0, "none.keras", "which does not exist"),
    "a model in a format that can hold code": (0, "model.h5", "end in .keras"),
    "a model that is a folder": (0, ".", "which is no file"),
    "a model that is no zip file": (0, "text.keras", "which is no zip file"),
    "a zip file without a model": (0, "zip.keras", "cannot be loaded"),
    "data that are not there": (2, "none.npz", "which does not exist"),
    "data in another format": (2, "model.h5", "does not end in .npz"),
    "data that are broken": (2, "text.npz", "text.npz cannot be read"),
    "data that are empty": (2, "empty.npz", "No data left in file"),
    "data without x": (2, "z.npz", "must hold an array `x`"),
    "data with a name that means nothing": (2, "more.npz", "may hold `y`, `x_val`"),
    "targets to validate alone": (2, "alone.npz", "`y_val` and no `x_val`"),
    "a negative number of steps": (4, "-1", "`trial_steps` must be"),
    "a number of steps that is none": (4, "some", "invalid int value"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_end_with_2_and_are_named(
    case: str, files: Files, capsys: pytest.CaptureFixture
) -> None:
    place, value, text = BAD[case]
    words = files()
    for name in ("model.h5", "text.keras", "text.npz"):
        Path(name).write_text("PK, and nothing else", "utf-8")
    Path("empty.npz").touch()
    np.savez("z.npz", z=X)
    np.savez("more.npz", x=X, z=X)
    np.savez("alone.npz", x=X, y_val=Y)
    Path("zip.keras").write_bytes(Path("z.npz").read_bytes())
    words[1 + place] = value
    assert text in refusal(words, capsys)


def test_a_page_that_cannot_be_written_is_named(
    files: Files, capsys: pytest.CaptureFixture
) -> None:
    Path("folder.html").mkdir()
    assert "folder.html" in refusal([*files(), "--html", "folder.html"], capsys)
