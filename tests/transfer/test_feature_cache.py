"""Training on cached features is training: same weights, state, History."""

import keras
import numpy as np
import pytest

from keras_deeptools.transfer import (
    InferenceMode,
    cache_features,
    caching_obstacle,
    freeze,
    unfreeze,
)

ROWS = 20
X = np.random.default_rng(0).normal(size=(ROWS, 6, 6, 2)).astype("float32")
Y = np.arange(ROWS) % 3
WEIGHTS = np.linspace(0.5, 2, ROWS).astype("float32")


def body(*layers: keras.Layer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            *layers,
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
        ],
        name="body",
    )


def model_on(backbone: keras.Layer, optimizer: object = "adam") -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 2))
    hidden = keras.layers.Dropout(0.3, seed=1, name="drop")(backbone(inputs))
    outputs = keras.layers.Dense(3, "softmax", name="head")(hidden)
    model = keras.Model(inputs, outputs, name="small")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def frozen_model(optimizer: object = "adam") -> keras.Model:
    keras.utils.set_random_seed(2)
    model = model_on(body(), optimizer)
    freeze(model, "body")
    return model


def values(model: keras.Model) -> list[np.ndarray]:
    return [np.array(value) for value in model.get_weights()]


def assert_same(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_allclose(this, that, rtol=0, atol=1e-6)


def cached(model: keras.Model, *data: object, **options: object):
    return cache_features(model, *(data or (X, Y)), batch_size=8, verbose=0, **options)


FIT = {"epochs": 2, "batch_size": 8, "verbose": 0}


@pytest.fixture(scope="module")
def pair():
    """Twins, one trained on data, the other on features; and their histories."""
    data, features = frozen_model(), frozen_model()
    cache = cached(features, X, Y, WEIGHTS)
    keras.utils.set_random_seed(5)
    kept = cache.for_validation(X[:10], Y[:10])
    options = {**FIT, "validation_freq": 2}
    expected = data.fit(
        X, Y, sample_weight=WEIGHTS, validation_data=(X[:10], Y[:10]), **options
    )
    keras.utils.set_random_seed(5)
    history = cache.fit(validation_data=kept, **options)
    return data, features, expected.history, history.history


def test_weights_after_training_on_features_are_those_after_training_on_data(pair):
    data, features, _, _ = pair
    assert_same(values(data), values(features))


def test_the_history_is_that_of_training_on_data(pair):
    _, _, expected, history = pair
    assert set(history) == set(expected) >= {"val_loss", "accuracy"}
    for name, series in expected.items():
        np.testing.assert_allclose(history[name], series, atol=1e-5)


def test_the_optimizer_goes_on_after_unfreezing_as_if_trained_on_data(pair):
    for model in pair[:2]:
        unfreeze(model, "conv")
        model.fit(X, Y, shuffle=False, **FIT)
    data, features = pair[:2]
    assert int(features.optimizer.iterations) == int(data.optimizer.iterations)
    assert_same(values(data), values(features))


def test_only_what_follows_the_frozen_part_is_in_the_features() -> None:
    cache = cached(frozen_model())
    assert [array.shape for array in cache.features] == [(ROWS, 4)]
    assert cache.num_bytes == ROWS * 4 * 4


def test_a_nested_backbone_is_cut_inside() -> None:
    inner = body(keras.layers.Conv2D(3, 1, name="stem"))
    model = model_on(inner)
    freeze(model, "stem")
    cache = cached(model)
    assert cache.features[0].shape == (ROWS, 6, 6, 3)
    before = values(model)
    cache.fit(**FIT)
    changed = [
        not np.array_equal(a, b) for a, b in zip(before, values(model), strict=True)
    ]
    assert changed[:2] == [False, False] and all(changed[2:4])


def test_several_tensors_cross_the_cut() -> None:
    keras.utils.set_random_seed(0)
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    frozen = keras.layers.Dense(4, name="frozen")(one)
    late = keras.layers.Dense(4, name="late")(two)
    total = keras.layers.Add()([frozen, late])
    outputs = [keras.layers.Dense(1, name="sum")(total), frozen]
    model = keras.Model({"one": one, "two": two}, outputs)
    freeze(model, "frozen")
    model.compile("sgd", ["mse", "mse"])
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    freeze(twin, "frozen")
    twin.compile("sgd", ["mse", "mse"])
    x = {"one": X[:, 0, 0], "two": X[:, 0, :3, 0]}
    y = [np.ones((ROWS, 1)), np.zeros((ROWS, 4))]
    twin.fit(x, y, shuffle=False, **FIT)
    cache = cached(model, x, y)
    cache.fit(shuffle=False, **FIT)
    assert sorted(a.shape for a in cache.features) == [(ROWS, 3), (ROWS, 4)]
    assert_same(values(twin), values(model))


@pytest.mark.alternates("dtype")
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_masks_cross_the_cut(dtype: str) -> None:
    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((5,), dtype=dtype),
                keras.layers.Embedding(7, 3, mask_zero=True, name="words"),
                keras.layers.LSTM(2),
                keras.layers.Dense(1),
            ]
        )
        freeze(model, "words")
        model.compile("sgd", "mse")
        return model

    tokens = np.random.default_rng(0).integers(0, 3, (ROWS, 5))
    target = np.ones((ROWS, 1), "float32")
    data, features = make(), make()
    data.fit(tokens, target, shuffle=False, **FIT)
    cached(features, tokens, target).fit(shuffle=False, **FIT)
    assert_same(values(data), values(features))


def test_the_model_takes_data_too_while_it_trains_on_features() -> None:
    model = frozen_model()
    seen = []

    class Watcher(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            seen.append(self.model.predict(X[:4], verbose=0))

    cached(model).fit(callbacks=[Watcher()], **FIT)
    np.testing.assert_allclose(seen[-1], model.predict(X[:4], verbose=0), atol=1e-6)


def test_a_model_saved_while_it_trains_on_features_is_the_whole_model(tmp_path) -> None:
    model = frozen_model()
    path = tmp_path / "model.keras"
    saver = keras.callbacks.ModelCheckpoint(path)
    cached(model).fit(callbacks=[saver], **FIT)
    loaded = keras.saving.load_model(path)
    expected = model.predict(X[:4], verbose=0)
    np.testing.assert_allclose(loaded.predict(X[:4], verbose=0), expected, atol=1e-6)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations)


def test_caching_leaves_weights_and_random_state_as_they_were() -> None:
    model = frozen_model()
    before = values(model)
    keras.utils.set_random_seed(7)
    expected = np.random.uniform(), keras.random.uniform(())
    keras.utils.set_random_seed(7)
    cached(model)
    assert (np.random.uniform(), keras.random.uniform(())) == expected
    assert_same(before, values(model))


class Unfreezer(keras.callbacks.Callback):
    """Unfreezes a layer when an epoch begins, and writes down what it is told."""

    def __init__(self, layer: str, epoch: int) -> None:
        super().__init__()
        self.layer, self.epoch, self.seen = layer, epoch, []

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.seen.append("begin")

    def on_train_end(self, logs: dict | None = None) -> None:
        self.seen.append("end")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.seen.append(epoch)
        if epoch == self.epoch:
            unfreeze(self.model, self.layer)


@pytest.fixture(scope="module")
def unfrozen():
    """Twins unfrozen within a fit, on data and on features, and what was seen."""
    models, seen, histories = [], [], []
    for is_cached in (False, True):
        model = frozen_model()
        unfreezer = Unfreezer("conv", 2)
        options = {**FIT, "epochs": 4, "shuffle": False, "callbacks": [unfreezer]}
        options["validation_data"] = (X[:8], Y[:8])
        if is_cached:
            history = cached(model).fit(**options)
        else:
            history = model.fit(X, Y, **options)
        models.append(model)
        seen.append(unfreezer.seen)
        histories.append(history)
    return models, seen, histories


def test_training_goes_on_with_the_data_when_a_callback_unfreezes(unfrozen) -> None:
    (data, features), _, histories = unfrozen
    assert_same(values(data), values(features))
    for name, series in histories[0].history.items():
        np.testing.assert_allclose(histories[1].history[name], series, atol=1e-5)
    assert histories[1].epoch == [0, 1, 2, 3]


@pytest.mark.one_backend
def test_callbacks_see_one_training_when_one_of_them_unfreezes(unfrozen) -> None:
    assert unfrozen[1][1] == unfrozen[1][0] == ["begin", 0, 1, 2, 3, "end"]


def test_unfreezing_within_an_epoch_is_refused() -> None:
    model = frozen_model()

    class Hasty(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            unfreeze(self.model, "conv")

    with pytest.raises(ValueError, match="must begin to train between epochs"):
        cached(model).fit(callbacks=[Hasty()], **FIT)
    assert np.isfinite(model.fit(X, Y, **FIT).history["loss"]).all()


@pytest.mark.one_backend
def test_features_of_other_weights_are_refused() -> None:
    model = frozen_model()
    cache = cached(model)
    model.get_layer("body").get_layer("conv").bias.assign(np.ones(4))
    assert not cache.is_current()
    with pytest.raises(ValueError, match="weights before the cut have other values"):
        cache.fit(**FIT)


@pytest.mark.one_backend
def test_features_are_refused_once_their_layers_train() -> None:
    model = frozen_model()
    cache = cached(model)
    unfreeze(model, "norm", batch_norm="statistics")
    with pytest.raises(ValueError, match="something before the cut trains"):
        cache.fit(**FIT)


@pytest.mark.one_backend
def test_freezing_more_does_not_end_the_features() -> None:
    model = frozen_model()
    cache = cached(model)
    freeze(model, "head")
    assert cache.is_current()


def chain(num_frozen: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    names = ["one", "two", "three"]
    layers = [keras.layers.Dense(2, "tanh", name=name) for name in names]
    model = keras.Sequential([keras.Input((2,)), *layers])
    freeze(model, names[:num_frozen])
    model.compile("sgd", "mse")
    return model


def test_a_cut_elsewhere_with_features_of_the_same_shape_is_another_cut() -> None:
    points, target = X[:, 0, 0], np.ones((ROWS, 2), "float32")
    model = chain(2)
    before = model.get_weights()
    cached(model, points, target).fit(**FIT)
    model.set_weights(before)
    for layer in model.layers[1:]:
        layer.trainable = True
    model.compile("sgd", "mse")
    cached(model, points, target).fit(shuffle=False, **FIT)
    expected = chain(1)
    expected.fit(points, target, shuffle=False, **FIT)
    assert_same(values(expected), values(model))


# --- What draws ----------------------------------------------------------------------


def augmented() -> keras.Model:
    keras.utils.set_random_seed(2)
    flip = keras.layers.GaussianNoise(1.0, seed=4, name="noise")
    model = model_on(body(flip))
    freeze(model, "body")
    return model


@pytest.mark.one_backend
def test_a_random_layer_before_frozen_weights_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"'noise', which draws.*Give `views`"):
        cached(augmented())


def test_each_view_draws_anew_and_a_seed_repeats_them() -> None:
    model = augmented()
    one, two, other = (cached(model, views=2, seed=s).features[0] for s in (1, 1, 2))
    assert one.shape == (2 * ROWS, 4)
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one[:ROWS] - one[ROWS:]).max() > 1e-3


def test_epochs_train_on_one_view_after_the_other() -> None:
    model = augmented()
    model.optimizer.learning_rate = 0.0
    model.get_layer("drop").rate = 0.0
    cache = cached(model, views=2, seed=0)
    losses = cache.fit(**{**FIT, "epochs": 4}).history["loss"]
    np.testing.assert_allclose(losses[:2], losses[2:], atol=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-4


def test_a_frozen_dropout_is_cached_inside_of_inference_mode() -> None:
    inner = body(keras.layers.Dropout(0.5, name="inner_drop"))
    model = model_on(InferenceMode(inner))
    freeze(model, "body")
    expected = inner.predict(X, verbose=0)
    np.testing.assert_allclose(cached(model).features[0], expected, atol=1e-5)


def test_dropout_that_is_off_does_not_stand_in_the_way() -> None:
    model = model_on(body(keras.layers.Dropout(0.0)))
    freeze(model, "body")
    assert caching_obstacle(model) is None


class MixesRows(keras.layers.Layer):
    """Takes the mean over the batch out."""

    def call(self, inputs: object) -> object:
        return inputs - keras.ops.mean(inputs, axis=0, keepdims=True)


class CountsCalls(keras.layers.Layer):
    """Counts how often it is trained with, whether it is frozen or not."""

    def build(self, input_shape: tuple) -> None:
        self.count = self.add_weight(initializer="zeros", trainable=False)

    def call(self, inputs: object, training: bool = False) -> object:
        if training:
            self.count.assign_add(1.0)
        return inputs * 1.0


@pytest.mark.parametrize(
    "layer, complaint",
    [(MixesRows, "combines rows"), (CountsCalls, "updates variables of its own")],
)
def test_layers_that_cannot_be_cached_are_found_by_trying(layer, complaint) -> None:
    model = model_on(body(layer()))
    freeze(model, "body")
    before = values(model)
    with pytest.raises(ValueError, match=complaint):
        cached(model)
    assert_same(before, values(model))


# --- Data ----------------------------------------------------------------------------


class Pairs(keras.utils.PyDataset):
    """Uneven batches with targets and weights."""

    edges = (0, 3, 10, 11, ROWS)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, index: int) -> tuple:
        rows = slice(self.edges[index], self.edges[index + 1])
        return X[rows], Y[rows], WEIGHTS[rows]


def test_a_data_set_gives_features_with_targets_and_weights_in_its_order() -> None:
    model = frozen_model()
    inputs, y, weights = cached(model, Pairs()).rows()
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weights, WEIGHTS)
    features = cached(model).features[0]
    np.testing.assert_allclose(next(iter(inputs.values())), features, atol=1e-5)


def test_images_of_bytes_are_taken_as_fit_takes_them() -> None:
    model = frozen_model()
    pixels = (X * 50 + 100).clip(0, 255).astype("uint8")
    one, two = (cached(model, x, Y).features[0] for x in (pixels, pixels * 1.0))
    np.testing.assert_allclose(one, two, rtol=1e-5)


@pytest.mark.one_backend
def test_a_generator_can_be_cached_in_memory_only(tmp_path) -> None:
    model = frozen_model()
    cache = cached(model, ((X[i : i + 5], Y[i : i + 5]) for i in range(0, ROWS, 5)))
    np.testing.assert_array_equal(cache.rows()[1], Y)
    with pytest.raises(ValueError, match="read again"):
        cached(model, (batch for batch in [(X, Y)]), directory=tmp_path)


@pytest.mark.one_backend
def test_targets_are_given_once() -> None:
    with pytest.raises(ValueError, match="must be None where `x` is no array"):
        cached(frozen_model(), Pairs(), Y)


@pytest.mark.slow
def test_class_weights_and_a_validation_split_are_as_in_fit() -> None:
    data, features = frozen_model(), frozen_model()
    options = {**FIT, "class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}
    options |= {"validation_split": 0.25, "shuffle": False}
    expected = data.fit(X, Y, **options).history
    history = cached(features).fit(**options).history
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], atol=1e-5)
    assert_same(values(data), values(features))


# --- Refusals ------------------------------------------------------------------------


@pytest.mark.one_backend
def test_features_that_do_not_fit_are_refused_before_they_are_computed() -> None:
    with pytest.raises(ValueError, match=r"320 bytes.*Give `directory`"):
        cached(frozen_model(), max_bytes=319)


@pytest.mark.one_backend
def test_a_model_without_anything_frozen_is_refused() -> None:
    with pytest.raises(ValueError, match="'conv', which trains. Freeze the backbone"):
        cached(model_on(body()))


class Subclassed(keras.Model):
    """Has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, inputs: object) -> object:
        return self.dense(inputs)


class OwnStep(keras.Model):
    """Trains in a way of its own."""

    def train_step(self, *args: object) -> object:
        return super().train_step(*args)


def test_models_that_cannot_be_cut_or_fed_are_refused() -> None:
    model = Subclassed()
    model(np.ones((1, 2)))
    assert "must have a graph" in caching_obstacle(model)
    inputs = keras.Input((2,))
    own = OwnStep(inputs, keras.layers.Dense(1)(inputs))
    assert "`train_step` of its own" in caching_obstacle(own)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "options, error",
    [
        ({"views": 0}, ValueError),
        ({"batch_size": 2.5}, TypeError),
        ({"max_bytes": 0}, ValueError),
        ({"seed": -1}, ValueError),
    ],
)
def test_bad_arguments_are_named(options, error) -> None:
    with pytest.raises(error, match=f"cache_features: `{next(iter(options))}`"):
        cache_features(frozen_model(), X, Y, **options)


@pytest.mark.one_backend
def test_fit_needs_a_compiled_model() -> None:
    model = chain(1)
    model = keras.Model(model.inputs, model.outputs)
    with pytest.raises(ValueError, match="must be compiled"):
        cached(model, X[:, 0, 0], Y).fit(**FIT)


@pytest.mark.one_backend
def test_fit_refuses_data() -> None:
    with pytest.raises(TypeError, match="those of the features. Received: `y`"):
        cached(frozen_model()).fit(y=Y)
