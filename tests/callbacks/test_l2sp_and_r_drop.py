"""L2SP against its formula, and R-Drop against two passes in numpy."""

import copy
import pickle

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import L2SP, RDrop, SharpnessAwareMinimization
from keras_deeptools.transfer import fine_tune

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(16, 3)).astype("float32")
Y = RANDOM.integers(0, 4, 16)


def numbers(value: object) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(value))


def two_layers() -> keras.Model:
    body = keras.layers.Dense(4, "tanh", name="body")
    return keras.Sequential(
        [keras.Input((3,)), body, keras.layers.Dense(4, name="new")]
    )


def test_without_a_loss_weights_decay_to_their_start_and_the_head_to_zero() -> None:
    model = two_layers()
    model.compile(keras.optimizers.SGD(0.1), "mse", loss_weights=[0.0])
    start = [numbers(v) for v in model.trainable_variables]
    pull = L2SP(0.5, 0.2)
    fit = {"batch_size": 8, "verbose": 0, "callbacks": [pull]}
    model.fit(X, np.zeros((16, 4)), **fit)
    moved = [v + 1.0 for v in start]
    model.set_weights(moved)
    model.fit(X, np.zeros((16, 4)), **fit)  # two updates
    body, head = 1 - (1 - 0.1 * 0.5) ** 2, (1 - 0.1 * 0.2) ** 2
    for i, variable in enumerate(model.trainable_variables):
        expected = moved[i] - body if i < 2 else moved[i] * head
        np.testing.assert_allclose(numbers(variable), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.one_backend
def test_an_empty_head_draws_all_weights_to_their_start() -> None:
    model = two_layers()
    model.compile(keras.optimizers.SGD(0.1), "mse", loss_weights=[0.0])
    start = model.get_weights()
    model.fit(X, np.zeros((16, 4)), verbose=0, callbacks=[L2SP(0.5, head=[])])
    for before, after in zip(start, model.get_weights(), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_fine_tuning_keeps_the_body_nearer_to_its_start() -> None:
    moves = []
    for callbacks in ([], [L2SP(10.0)]):
        keras.utils.set_random_seed(1)
        model = two_layers()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        start = model.get_weights()
        fine_tune(
            model,
            X,
            Y,
            epochs=3,
            learning_rate=0.1,
            rate_ratio=1.0,
            batch_size=8,
            callbacks=callbacks,
            restore_best=False,
            seed=0,
            verbose=0,
        )
        moves.append(np.abs(model.get_weights()[0] - start[0]).sum())
    assert moves[1] < 0.8 * moves[0]


def test_a_copy_has_no_starting_points_and_trains_another_model() -> None:
    model = two_layers()
    model.compile("sgd", "mse")
    pull = L2SP(0.1, head="new", layers=["body", "new"])
    model.fit(X, np.zeros((16, 4)), verbose=0, callbacks=[pull])
    for other in (copy.deepcopy(pull), pickle.loads(pickle.dumps(pull))):
        assert other.get_config() == pull.get_config()
        assert not other._starts
    model.fit(X, np.zeros((16, 4)), verbose=0, callbacks=[copy.deepcopy(pull)])


class Noise(keras.layers.Layer):
    """Adds 1 to the outputs for the second half of a batch of 16, in training."""

    def call(self, inputs, training=False):
        if not training:
            return inputs
        return inputs + keras.ops.cast(
            keras.ops.arange(16)[:, None] >= 8, inputs.dtype
        ) * keras.ops.convert_to_tensor([0.0, 1.0, 0.0, -1.0])


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return (p * (np.log(p) - np.log(q))).sum(-1)


SHIFT = np.array([0.0, 1.0, 0.0, -1.0])


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_mean_of_both_passes_and_their_divergence(
    from_logits: bool, weighted: bool
) -> None:
    dense = keras.layers.Dense(4)
    end = [] if from_logits else [keras.layers.Softmax()]
    model = keras.Sequential([keras.Input((3,)), dense, Noise(), *end])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.SGD(0.0), loss, weighted_metrics=["accuracy"])
    weights = RANDOM.random(8).astype("float32") if weighted else None
    logits = model.predict(X[:8], verbose=0)
    if not from_logits:
        logits = np.log(logits)
    p, q = softmax(logits), softmax(logits + SHIFT)
    w = np.ones(8) if weights is None else weights
    plain = -(np.log(p) + np.log(q))[np.arange(8), Y[:8]] / 2
    expected = (w * (plain + 3.0 * (kl(p, q) + kl(q, p)) / 2)).mean()
    history = model.fit(
        X[:8], Y[:8], sample_weight=weights, verbose=0, callbacks=[RDrop(3.0)]
    ).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    hits = w * (p.argmax(-1) == Y[:8])
    assert history["accuracy"][0] == pytest.approx(hits.sum() / w.sum(), abs=1e-5)
    # Later steps are plain again.
    assert model.evaluate(X[:8], Y[:8], verbose=0)[0] == pytest.approx(
        -np.log(p)[np.arange(8), Y[:8]].mean(), rel=1e-4
    )


@pytest.mark.one_backend
@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse"])
def test_other_losses_have_their_own_divergence(loss: str) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), Noise()])
    y = (RANDOM.random((8, 4)) > 0.5).astype("float32")
    if loss == "binary_crossentropy":
        compiled = keras.losses.BinaryCrossentropy(from_logits=True)
    else:
        compiled = loss
    model.compile(keras.optimizers.SGD(0.0), compiled)
    z = model.predict(X[:8], verbose=0)
    if loss == "mse":
        plain = (np.square(z - y) + np.square(z + SHIFT - y)).mean() / 2
        extra = np.square(SHIFT).mean() / 2
    else:
        p, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z - SHIFT))
        plain = (
            -sum((y * np.log(r) + (1 - y) * np.log(1 - r)).mean() for r in (p, q)) / 2
        )
        extra = ((q - p) * SHIFT).mean() / 2
    found = model.fit(X[:8], y, verbose=0, callbacks=[RDrop(2.0)]).history["loss"][0]
    assert found == pytest.approx(plain + 2 * extra, rel=1e-4)


def test_predictions_with_other_masks_grow_together() -> None:
    gaps = []
    for callbacks in ([], [RDrop(5.0)]):
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.5, seed=1)]
        model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(4)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.02), loss)
        model.fit(X, Y, epochs=40, batch_size=16, verbose=0, callbacks=callbacks)
        p, q = (
            softmax(numbers(model(np.repeat(X, 20, 0), training=True))) for _ in "ab"
        )
        gaps.append(((p - q) * (np.log(p) - np.log(q))).sum(-1).mean())
    assert gaps[1] < 0.5 * gaps[0]


@pytest.mark.one_backend
def test_it_works_beside_sam_and_on_masked_sequences_of_several_outputs() -> None:
    inputs = keras.Input((5,))
    x = keras.layers.Embedding(6, 4, mask_zero=True)(inputs)
    x = keras.layers.Dropout(0.5)(x)
    tags = keras.layers.Dense(3, "softmax", name="tags")(x)
    value = keras.layers.Dense(1, name="value")(
        keras.layers.GlobalAveragePooling1D()(x)
    )
    model = keras.Model(inputs, {"tags": tags, "value": value})
    model.compile("sgd", {"tags": "sparse_categorical_crossentropy", "value": "mse"})
    words = RANDOM.integers(0, 6, (8, 5))
    y = {"tags": words % 3, "value": np.ones((8, 1))}
    callbacks = [RDrop(), SharpnessAwareMinimization(0.05)]
    history = model.fit(
        words, y, batch_size=4, epochs=2, verbose=0, callbacks=callbacks
    )
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.one_backend
def test_a_loss_that_tells_no_divergence_is_an_error() -> None:
    model = two_layers()
    model.compile("sgd", "poisson")
    with pytest.raises(ValueError, match="RDrop: `divergence` must be given"):
        model.fit(X, np.ones((16, 4)), verbose=0, callbacks=[RDrop()])


@pytest.mark.one_backend
def test_a_step_that_computes_no_loss_is_an_error() -> None:
    class Custom(keras.Sequential):
        def train_step(self, data):
            return {"loss": keras.ops.zeros(())}

    model = Custom([keras.Input((3,)), keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must call the model's `compute_loss`"):
        model.fit(X, np.zeros((16, 4)), verbose=0, callbacks=[RDrop()])
