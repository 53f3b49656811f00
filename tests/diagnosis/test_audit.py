"""What an audit reports, of which models, and that it leaves them alone."""

import functools

import keras
import numpy as np
import pytest

from keras_deeptools.diagnosis import audit
from keras_deeptools.initializers import initialize

layers = keras.layers
applications = keras.applications


@functools.cache
def healthy() -> keras.Model:
    """A compiled model with a bit of everything and no trap."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(8, 1)(x)])
    x = layers.Reshape((-1, 8))(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x)])
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs, layers.Dense(3, "softmax")(x), name="healthy")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="sub")
        seed = keras.initializers.HeNormal(seed=1)
        self.first = layers.Dense(4, kernel_initializer=seed)
        self.second = layers.Dense(4, kernel_initializer=seed)
        self.drop = layers.Dropout(0.5)

    def call(self, x: object, training: bool = False) -> object:
        return self.second(self.drop(self.first(x), training=training))


def state_of(model: keras.Model) -> list[bytes]:
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [keras.ops.convert_to_numpy(variable).tobytes() for variable in variables]


def test_a_healthy_model_has_no_findings() -> None:
    report = audit(healthy())
    assert report.findings == ()
    assert str(report).startswith("Audit of healthy: nothing found.")


def test_a_trained_model_has_no_findings_and_stays_bit_identical() -> None:
    model = healthy()
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(8, 16, 16, 3)), rng.integers(0, 3, 8), verbose=0)
    before, nodes = state_of(model), len(model.operations)
    config = model.get_config()
    assert audit(model).findings == ()
    assert state_of(model) == before
    assert len(model.operations) == nodes
    assert model.get_config() == config


def test_the_random_state_of_a_session_stays() -> None:
    model = healthy()
    keras.utils.set_random_seed(1)
    expected = keras.ops.convert_to_numpy(keras.random.normal((3,)))
    keras.utils.set_random_seed(1)
    audit(model)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.random.normal((3,))), expected
    )


def test_layers_of_a_subclassed_model_are_looked_at_and_its_calls_said_not_to_be() -> (
    None
):
    model = Subclassed()
    model(np.zeros((2, 4)))
    report = audit(model)
    assert report.kinds == ("equal kernels",)
    assert any("no graph" in text for text in report.not_seen)


def test_a_functional_part_of_a_subclassed_model_is_looked_into() -> None:
    class Outer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            inputs = keras.Input((4,))
            x = layers.Dense(4, name="biased")(inputs)
            self.part = keras.Model(inputs, layers.BatchNormalization()(x))

        def call(self, x: object) -> object:
            return self.part(x)

    (finding,) = audit(Outer()).findings
    assert (finding.kind, finding.where) == (
        "bias before BatchNormalization",
        "biased",
    )


def test_a_subclassed_model_inside_a_graph_is_named_as_not_seen() -> None:
    inner = Subclassed()
    inputs = keras.Input((4,))
    report = audit(keras.Model(inputs, inner(inputs)))
    assert any(text.startswith("sub: a subclassed model") for text in report.not_seen)


def test_traps_in_a_nested_model_are_found() -> None:
    dropout = layers.Dropout(0.5, name="inner_dropout")
    inner = keras.Sequential([keras.Input((4,)), dropout, layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((4,)), inner])
    (finding,) = audit(model).findings
    assert "inner_dropout" in finding.where


def test_a_model_without_weights_or_compilation_is_said_to_be_so() -> None:
    text = str(audit(keras.Sequential([layers.Dense(2)])))
    assert "no weights yet" in text
    assert "not compiled" in text


def test_mixed_precision_is_looked_through() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    inner = keras.optimizers.SGD(clipnorm=1.0)
    model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    inner.clipvalue = 1.0
    assert audit(model).kinds == ("several kinds of clipping",)


@pytest.mark.one_backend
def test_a_report_reads_as_kind_severity_place_evidence_remedy_and_source() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)], name="small")
    model.compile(keras.optimizers.SGD(clipnorm=1.0), "mse")
    model.optimizer.clipvalue = 1.0
    lines = str(audit(model)).splitlines()
    assert lines[0] == "Audit of small: 1 finding."
    assert lines[1] == "- several kinds of clipping (warning): optimizer"
    assert [line.split()[0] for line in lines[2:5]] == ["seen", "remedy", "source"]


def test_evidence_of_a_finding_is_what_was_set_or_measured() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.compile(keras.optimizers.SGD(clipnorm=1.0), "mse")
    model.optimizer.clipvalue = 0.5
    (finding,) = audit(model).findings
    assert finding.evidence == {"clipnorm": 1.0, "clipvalue": 0.5}


@pytest.mark.one_backend
def test_what_is_no_model_is_an_error_by_name() -> None:
    with pytest.raises(TypeError, match="audit: `model` must be a keras.Model"):
        audit(layers.Dense(2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, kinds",
    [
        # The depthwise kernels have 1/C of the variance that is meant;
        # the features of a fresh MobileNetV2 have a standard deviation of 3.7e-12.
        (applications.MobileNetV2, ("wrong fans",)),
        # Its convolutions do have a bias before each BatchNormalization.
        (applications.ResNet50, ("bias before BatchNormalization",)),
        # Stochastic depth is no unit-wise dropout; "fan_out" is right for depthwise.
        (applications.EfficientNetB0, ()),
    ],
)
def test_an_application_has_the_traps_that_are_known_of_it(
    make: object, kinds: tuple
) -> None:
    model = make(weights=None, input_shape=(64, 64, 3), classes=10)
    assert audit(model).kinds == kinds


def test_initialize_removes_the_wrong_fans() -> None:
    inputs = keras.Input((8, 8, 32))
    model = keras.Model(inputs, layers.SeparableConv2D(8, 3)(inputs))
    assert audit(model).kinds == ("wrong fans",)
    initialize(model, seed=0)
    assert audit(model).kinds == ()
