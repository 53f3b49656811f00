"""Label smoothing for sparse labels, and soft orthogonality."""

import keras
import numpy as np
import pytest

from keras_deeptools.losses import SmoothedSparseCategoricalCrossentropy
from keras_deeptools.regularizers import SoftOrthogonality

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(6, 4, 5)).astype("float32")
LABELS = RANDOM.integers(0, 5, size=(6, 4))


def softmax(z: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_values_are_those_of_one_hot_labels(
    smoothing: float, from_logits: bool
) -> None:
    predicted = LOGITS if from_logits else softmax(LOGITS)
    one_hot = keras.losses.CategoricalCrossentropy(from_logits, smoothing)
    sparse = SmoothedSparseCategoricalCrossentropy(smoothing, from_logits)
    weights = RANDOM.random((6, 4)).astype("float32")
    for given in (None, weights):
        expected = float(one_hot(np.eye(5)[LABELS], predicted, given))
        assert float(sparse(LABELS, predicted, given)) == pytest.approx(
            expected, rel=1e-5
        )


@pytest.mark.parametrize("shape", [(24,), (24, 1)])
def test_labels_with_and_without_a_last_axis_of_one(shape: tuple) -> None:
    loss = SmoothedSparseCategoricalCrossentropy(0.2, True)
    expected = loss(LABELS, LOGITS)
    found = loss(LABELS.reshape(shape), LOGITS.reshape(24, 5))
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_samples_of_the_ignored_class_do_not_count() -> None:
    labels = LABELS.copy()
    labels[:, :2] = -1
    loss = SmoothedSparseCategoricalCrossentropy(0.3, True, ignore_class=-1)
    alone = SmoothedSparseCategoricalCrossentropy(0.3, True)
    expected = float(alone(LABELS[:, 2:], LOGITS[:, 2:]))
    assert float(loss(labels, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_a_model_trains_with_it_and_loads(tmp_path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    model.compile("sgd", SmoothedSparseCategoricalCrossentropy(0.1, True))
    x, y = RANDOM.normal(size=(16, 3)), RANDOM.integers(0, 5, 16)
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.loss.label_smoothing == 0.1
    assert again.evaluate(x, y, verbose=0) == pytest.approx(
        model.evaluate(x, y, verbose=0)
    )


@pytest.mark.parametrize("shape", [(6, 4), (3, 3, 2, 4), (1, 1, 2, 5)])
def test_the_penalty_is_the_distance_of_the_gram_matrix_from_the_identity(
    shape: tuple,
) -> None:
    kernel = RANDOM.normal(size=shape).astype("float32")
    w = kernel.reshape(-1, shape[-1])
    w = w if len(w) >= w.shape[1] else w.T
    expected = 0.1 * np.square(w.T @ w - np.eye(w.shape[1])).sum()
    assert float(SoftOrthogonality(0.1)(kernel)) == pytest.approx(expected, rel=1e-5)
    gram = w.T @ w
    rest = 0.1 * (np.square(gram).sum() - np.square(np.diag(gram)).sum())
    found = SoftOrthogonality(0.1, lengths=False)(kernel)
    assert float(found) == pytest.approx(rest, rel=1e-5)


def test_training_makes_a_convolution_orthogonal() -> None:
    conv = keras.layers.Conv2D(6, 3, kernel_regularizer=SoftOrthogonality(0.1))
    model = keras.Sequential([keras.Input((4, 4, 2)), conv])
    model.compile(keras.optimizers.SGD(0.5), "mse", loss_weights=[0.0])
    x, y = np.zeros((8, 4, 4, 2)), np.zeros((8, 2, 2, 6))
    model.fit(x, y, batch_size=1, epochs=15, verbose=0)
    w = keras.ops.convert_to_numpy(conv.kernel).reshape(-1, 6)
    np.testing.assert_allclose(w.T @ w, np.eye(6), atol=1e-2)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: SmoothedSparseCategoricalCrossentropy(1.0), "`label_smoothing` must"),
        (lambda: SoftOrthogonality(-1.0), "`factor` must be"),
        (lambda: SoftOrthogonality()(np.ones(3)), "at least two dimensions"),
    ],
)
def test_what_is_out_of_range_is_an_error(make, error) -> None:
    with pytest.raises(ValueError, match=error):
        make()
