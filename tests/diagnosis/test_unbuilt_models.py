"""Diagnosis of models that are not built, that have no graph, or no `call`."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_deeptools.diagnosis import audit, check_self_normalizing, signal_propagation
from keras_deeptools.report import training_report

X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = np.random.default_rng(1).normal(size=(24, 1)).astype("float32")


def row() -> keras.Model:
    return keras.Sequential(
        [layers.Dense(6, "tanh"), layers.Dropout(0.5), layers.Dense(1)]
    )


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 3)
        self.top = layers.Dense(1)

    def call(self, inputs: object, training: bool = False) -> object:
        x = ops.expand_dims(inputs, 1)
        return self.top(ops.squeeze(self.attention(x, x), 1))


def functional() -> keras.Model:
    """Built, but for a layer that makes its parts when it is called."""
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(1)(row()(inputs)))


KINDS = pytest.mark.parametrize("make", [row, Own, functional])


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def weights_that_fit_draws(make: Callable[[], keras.Model]) -> list[np.ndarray]:
    model = seeded(make)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(X, Y, verbose=0, shuffle=False)
    return weights_of(model)


def seeded(make: Callable[[], keras.Model]) -> keras.Model:
    keras.utils.set_random_seed(3)
    return make()


@KINDS
@pytest.mark.parametrize("look", [signal_propagation, check_self_normalizing, audit])
def test_data_build_a_model_with_the_weights_that_fit_would_draw(
    make: Callable[[], keras.Model], look: Callable
) -> None:
    expected = weights_that_fit_draws(make)
    model = seeded(make)
    look(model, X)
    for ours, theirs in zip(weights_of(model), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@KINDS
def test_training_goes_as_it_would_have_gone(make: Callable[[], keras.Model]) -> None:
    losses = []
    for looked_at in (False, True):
        model = seeded(make)
        model.compile("sgd", "mse")
        if looked_at:
            signal_propagation(model, X)
        history = model.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make", [row, Own])
def test_audit_finds_nothing_in_a_healthy_model_that_is_not_built(
    make: Callable[[], keras.Model], compiled: bool
) -> None:
    model = make()
    if compiled:
        model.compile("adam", "mse")
    found = audit(model)
    assert found.findings == () and "not built" in str(found)
    assert not model.built


def test_audit_reads_the_order_of_a_sequential_that_is_not_built() -> None:
    model = keras.Sequential(
        [
            layers.Dense(4, "selu", kernel_initializer="lecun_normal"),
            layers.Dropout(0.5),
            keras.Sequential([layers.Dense(1, "softmax")]),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    expected = {"plain dropout with SELU", "softmax over one unit"}
    assert set(audit(model).kinds) == expected


class Gan(keras.Model):
    """As in Keras' examples: two networks, two optimizers, no `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = keras.Sequential(
            [keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(1)], name="critic"
        )
        self.generator = keras.Sequential(
            [keras.Input((2,)), layers.Dense(5)], name="generator"
        )

    def compile(self, critic: object, generator: object) -> None:
        super().compile()
        self.critic_optimizer = critic
        self.generator_optimizer = generator

    def train_step(self, *arguments: object) -> dict:
        raise NotImplementedError


def gan() -> Gan:
    model = Gan()
    model.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    return model


def test_networks_of_a_model_without_call_are_measured_by_themselves() -> None:
    found = signal_propagation(gan(), X)
    assert len(found.layers) == 2
    assert all(layer.name.startswith("critic/") for layer in found.layers)
    assert found.not_reached == ("generator",) and "generator" in str(found)


class Contrastive(keras.Model):
    """Only its step knows how its networks follow one another."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([layers.Dense(4, "relu")], name="encoder")
        self.head = keras.Sequential([layers.Dense(2)], name="head")

    def train_step(self, data: object) -> dict:
        return {"loss": ops.mean(ops.square(self.head(self.encoder(data))))}


def test_networks_that_are_not_built_are_built_as_in_the_step_or_asked_for() -> None:
    model = Contrastive()
    model.compile("sgd")
    if keras.backend.backend() == "tensorflow":
        found = signal_propagation(model, X)
        assert len(found.layers) == 1 and found.not_reached == ("head",)
        assert model.head.layers[0].kernel.shape == (4, 2)
        return
    # Nor would `fit` build them here.
    with pytest.raises(ValueError, match="'encoder', 'head'.*call it on that once"):
        signal_propagation(model, X)


def test_the_check_of_self_normalization_looks_into_them_too() -> None:
    found = check_self_normalizing(gan(), X)
    assert all(each.where.startswith("critic/") for each in found.findings)


def test_audit_finds_nothing_in_a_healthy_gan_and_says_what_it_did_not_see() -> None:
    found = audit(gan(), X)
    assert found.findings == ()
    assert any("no `call`" in text for text in found.not_seen)


def test_audit_looks_at_each_optimizer_of_a_model_and_names_it() -> None:
    model = gan()
    model.critic_optimizer.clipnorm = model.critic_optimizer.clipvalue = 1.0
    found = audit(model)
    assert [each.where for each in found.findings] == ["critic_optimizer"]


class Target(keras.Model):
    """A network and its copy, which follows it in training."""

    def __init__(self) -> None:
        super().__init__()
        self.online = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
        self.target = keras.models.clone_model(self.online)
        self.target.set_weights(self.online.get_weights())

    def call(self, inputs: object) -> object:
        return self.online(inputs)


def test_a_network_that_is_a_copy_of_another_is_no_finding() -> None:
    model = Target()
    model.compile("adam", "mse")
    assert audit(model, X).findings == ()


class Distiller(keras.Model):
    """Trains one of its networks in a step of its own, with the other as teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.student = keras.Sequential([layers.Dense(1)])
        self.teacher = keras.Sequential([layers.Dense(4), layers.Dense(1)])
        self.teacher.trainable = False

    def call(self, inputs: object) -> object:
        return self.student(inputs)

    def compute_loss(
        self,
        x: object = None,
        y: object = None,
        y_pred: object = None,
        sample_weight: object = None,
        **options: object,
    ) -> object:
        return ops.mean(ops.square(self.teacher(x) - y_pred))


def test_a_loss_that_the_model_computes_itself_is_taken_where_it_has_no_other() -> None:
    model = Distiller()
    model.compile("sgd")
    model.teacher(X)
    found = signal_propagation(model, X, Y)
    expected = np.mean(
        (model.teacher.predict(X, verbose=0) - model.predict(X, verbose=0)) ** 2
    )
    assert found.loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.one_backend
@pytest.mark.parametrize("make", [row, Own, Distiller])
def test_a_report_is_written_of_models_that_fit_has_built(
    make: Callable[[], keras.Model], tmp_path: object
) -> None:
    model = make()
    model.compile("sgd", None if make is Distiller else "mse")
    if make is Distiller:
        model.teacher(X)
    history = model.fit(X, Y, verbose=0)
    page = training_report(history, [audit(model)], f"{tmp_path}/run.html")
    assert page.exists()


@pytest.mark.one_backend
@pytest.mark.parametrize("make", [row, Own, gan])
def test_a_report_is_written_with_a_model_that_is_not_built(
    make: Callable[[], keras.Model], tmp_path: object
) -> None:
    page = training_report({"loss": [1.0]}, [], f"{tmp_path}/run.html", model=make())
    assert page.exists()
