"""Interrupted calls of `fine_tune` go on as if nothing had happened."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import FineTuning, fine_tune
from transfer.pretrained import INPUTS, LABELS, Watch, pretrained, values

OPTIONS = {"epochs": 2, "frozen_epochs": 2, "batch_size": 16, "seed": 3, "verbose": 0}
"""Two batches an epoch: 1-4 with a frozen body, 5-8 with all layers."""


def model() -> keras.Model:
    return pretrained(head_dropout=0.3)


def tuned(model: keras.Model, **options: object) -> FineTuning:
    return fine_tune(model, INPUTS, LABELS, **(OPTIONS | options))


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict[str, np.ndarray], FineTuning]:
    last = model()
    result = tuned(last, restore_best=False)
    return values(last), result


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=0, atol=1e-6, err_msg=name)


def assert_same_result(one: FineTuning, other: FineTuning) -> None:
    assert one.epoch == other.epoch and one.history.keys() == other.history.keys()
    assert one.phases == other.phases and one.best_epoch == other.best_epoch
    for name, column in one.history.items():
        np.testing.assert_allclose(column, other.history[name], atol=1e-6)


def forgotten() -> keras.Model:
    """As a new process would build it, but with other weights and random states."""
    again = model()
    for variable in again.variables:
        variable.assign(np.ones(variable.shape))
    return again


def test_interrupted_calls_go_on_and_end_with_the_same_weights(
    uninterrupted: tuple, tmp_path: Path
) -> None:
    weights, result = uninterrupted
    options = {"restore_best": False, "directory": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt) as caught:
        tuned(model(), callbacks=[Watch(interrupt_at=4)], **options)
    assert "'head' after 1 complete epochs" in caught.value.__notes__[0]
    again, watch = forgotten(), Watch(interrupt_at=5)
    with pytest.raises(KeyboardInterrupt) as caught:
        tuned(again, callbacks=[watch], **options)
    assert "'all layers' after 3 complete epochs" in caught.value.__notes__[0]
    assert watch.epochs == [1, 2]
    assert_same_result(tuned(again, **options), result)
    assert_same(values(again), weights)

    finished, watch = forgotten(), Watch()
    assert_same_result(tuned(finished, callbacks=[watch], **options), result)
    assert watch.num_batches == 0
    assert_same(values(finished), weights)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 6, 8])
def test_a_call_that_was_interrupted_anywhere_ends_with_the_same_weights(
    batch: int, uninterrupted: tuple, tmp_path: Path
) -> None:
    options = {"restore_best": False, "directory": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        tuned(model(), callbacks=[Watch(interrupt_at=batch)], **options)
    again = forgotten()
    assert_same_result(tuned(again, **options), uninterrupted[1])
    assert_same(values(again), uninterrupted[0])


def test_an_interrupted_model_is_usable_and_has_the_weights_of_the_best_epoch() -> None:
    broken, watch = model(), Watch(interrupt_at=5)
    with pytest.raises(KeyboardInterrupt) as caught:
        tuned(broken, frozen_epochs=0, epochs=3, callbacks=[watch])
    assert "the best epoch so far" in caught.value.__notes__[0]
    best = watch.weights[int(np.argmin(watch.losses))]
    for name, value in values(broken).items():
        np.testing.assert_array_equal(value, best[name])
    broken.fit(INPUTS, LABELS, verbose=0)
    assert np.isfinite(broken.predict(INPUTS, verbose=0)).all()


class Failing(keras.callbacks.Callback):
    """Takes the values of the variables, as a step does that fails on JAX."""

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        variables = [*self.model.variables, *self.model.optimizer.variables]
        for variable in variables:
            delete = getattr(variable.value, "delete", None)
            if delete is not None:
                delete()
        raise RuntimeError("broken on purpose")


def test_a_step_that_fails_leaves_a_model_that_trains() -> None:
    broken = model()
    before = values(broken)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        tuned(broken, cache=False, callbacks=[Failing()])
    after = values(broken)
    for name in before:
        if not name.startswith("head"):
            np.testing.assert_array_equal(after[name], before[name])
    broken.fit(INPUTS, LABELS, verbose=0)
    assert np.isfinite(broken.predict(INPUTS, verbose=0)).all()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a call was interrupted at once."""
    path = tmp_path_factory.mktemp("other") / "run"
    with pytest.raises(KeyboardInterrupt):
        tuned(model(), callbacks=[Watch(interrupt_at=1)], directory=path)
    return path


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 3}, "epochs: 2, now 3"),
        ({"learning_rate": 1e-4}, "learning_rate: 0.002, now 0.0001"),
        ({"batch_size": 4}, "batch_size: 16, now 4"),
        ({"seed": 4}, "seed: 3, now 4"),
        ({"validation_split": 0.5}, "data"),
        ({"optimizer": "sgd"}, "optimizer: .* 'AdamW', now 'SGD'"),
        ({"loss": "mse"}, "loss: 'sparse_categorical_crossentropy', now 'mse'"),
        ({"head": 1}, "head: 2, now 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_another_call_in_the_same_directory_is_an_error(
    changed: dict, words: str, directory: Path
) -> None:
    files = {path: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ValueError, match=f"fine_tune: `directory` must be .*{words}"):
        tuned(model(), directory=directory, **changed)
    assert files == {path: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.one_backend
def test_another_model_in_the_same_directory_is_an_error(directory: Path) -> None:
    layers = [keras.layers.Dense(4, name="body"), keras.layers.Dense(3, "softmax")]
    other = keras.Sequential([keras.Input((6,)), *layers])
    with pytest.raises(ValueError, match="model"):
        tuned(other, directory=directory)


SCRIPT = """
    import os, signal, sys
    sys.path[:0] = {paths!r}
    import keras, numpy as np
    from keras_deeptools.transfer import fine_tune
    from transfer.pretrained import INPUTS, LABELS, Watch, pretrained, values

    class Killer(Watch):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.num_batches == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)

    keras.utils.set_random_seed(0)
    model = pretrained(head_dropout=0.3)
    fine_tune(model, INPUTS, LABELS, directory=sys.argv[2], callbacks=[Killer()],
              restore_best=False, **{options!r})
    found = {{name.replace("/", " "): v for name, v in values(model).items()}}
    np.savez(sys.argv[3], **found)
"""


@pytest.mark.slow
def test_a_killed_process_is_gone_on_with_by_others(
    uninterrupted: tuple, tmp_path: Path
) -> None:
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests)]
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(paths=paths, options=OPTIONS)))
    found = tmp_path / "weights.npz"
    for batch, code in ((1, -9), (3, -9), (4, -9), (99, 0)):
        command = [sys.executable, str(script), str(batch), str(tmp_path / "run")]
        done = subprocess.run(
            [*command, str(found)], timeout=300, env=dict(os.environ), check=False
        )
        assert done.returncode == code
    with np.load(found) as file:
        weights = {name.replace(" ", "/"): file[name] for name in file.files}
    assert_same(weights, uninterrupted[0])
