import random

import keras
import numpy as np
import pytest

from keras_deeptools.pretraining import LayerwisePretraining, pretrain_layerwise
from pretraining import networks
from pretraining.networks import copies, rows

layers = keras.layers
QUIET = {"verbose": 0, "seed": 3}


def mlp(activation: str = "sigmoid") -> keras.Sequential:
    """Of saturating units, which this pretraining is for."""
    return networks.mlp(activation)


def convnet() -> keras.Model:
    """A functional chain with all that can stand between layers that are pretrained."""
    inputs = keras.Input((9, 9, 1))
    x = inputs / 16.0
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="a")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Activation("tanh")(x)
    x = layers.MaxPooling2D(2)(x)
    inner = keras.Sequential(
        [
            keras.Input((2, 2, 4)),
            layers.Conv2D(6, 2, activation="tanh", name="b"),
            layers.Flatten(),
            layers.Dropout(0.5),
        ]
    )
    x = layers.Dense(5, "tanh", name="c")(inner(x))
    return keras.Model(inputs, layers.Dense(2, name="head")(x), name="convnet")


def assert_same(these: list, those: list) -> None:
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


@pytest.mark.alternates("loss")
@pytest.mark.parametrize("loss", ["mean_squared_error", "binary_crossentropy"])
def test_a_step_is_the_gradient_step_of_a_tied_autoencoder(loss: str) -> None:
    model, x = mlp(), rows(8).astype("float64")
    kernel, bias = (each.astype("float64") for each in model.layers[0].get_weights())
    codes = sigmoid(x @ kernel + bias)
    logits = codes @ kernel.T
    if loss == "mean_squared_error":
        value = ((logits - x) ** 2).mean()
        slope = 2 * (logits - x) / x.size
    else:
        value = (np.logaddexp(0, logits) - x * logits).mean()
        slope = (sigmoid(logits) - x) / x.size
    inner = slope @ kernel * codes * (1 - codes)
    kernel_gradient = x.T @ inner + slope.T @ codes
    result = pretrain_layerwise(
        model,
        x,
        layers=["first"],
        noise="none",
        loss=loss,
        epochs=1,
        batch_size=8,
        optimizer=keras.optimizers.SGD(2.0),
        **QUIET,
    )
    new_kernel, new_bias = model.layers[0].get_weights()
    np.testing.assert_allclose(result.layers[0].history, value, rtol=1e-5)
    np.testing.assert_allclose(new_kernel, kernel - 2 * kernel_gradient, atol=1e-6)
    np.testing.assert_allclose(new_bias, bias - 2 * inner.sum(axis=0), atol=1e-6)


def test_a_higher_layer_learns_on_what_the_pretrained_lower_layer_gives() -> None:
    model, x = mlp(), rows(16)
    pretrain_layerwise(model, x, layers=["first"], epochs=2, **QUIET)
    lower = keras.ops.convert_to_numpy(model.layers[0](x))
    part = keras.Sequential([keras.Input((5,)), layers.Dense(4, "sigmoid")])
    part.set_weights(model.layers[1].get_weights())
    step = {"noise": "none", "epochs": 1, "batch_size": 16, **QUIET}
    name = part.layers[0].name
    alone = pretrain_layerwise(part, lower, layers=[name], **step)
    within = pretrain_layerwise(model, x, layers=["second"], **step)
    np.testing.assert_allclose(
        within.layers[0].history, alone.layers[0].history, rtol=1e-6
    )
    np.testing.assert_allclose(
        model.layers[1].get_weights()[0], part.get_weights()[0], atol=1e-6
    )


@pytest.fixture(scope="module")
def pretrained_convnet() -> tuple[keras.Model, list, LayerwisePretraining]:
    keras.utils.set_random_seed(0)
    model = convnet()
    before = copies(model.variables)
    x = 16 * rows(300, 81).reshape(-1, 9, 9, 1)
    optimizer = keras.optimizers.Adam(0.01)
    result = pretrain_layerwise(model, x, epochs=8, optimizer=optimizer, **QUIET)
    return model, before, result


def test_the_reconstruction_error_of_every_layer_falls(
    pretrained_convnet: tuple,
) -> None:
    _, _, result = pretrained_convnet
    assert [layer.name for layer in result.layers] == ["a", "b", "c"]
    for layer in result.layers:
        assert layer.history[-1] < 0.9 * layer.history[0]


def test_kernels_and_biases_of_hidden_layers_land_and_nothing_else_moves(
    pretrained_convnet: tuple,
) -> None:
    model, before, _ = pretrained_convnet
    moved = {
        "/".join(variable.path.split("/")[-2:])
        for variable, old, new in zip(
            model.variables, before, copies(model.variables), strict=True
        )
        if not np.array_equal(old, new)
    }
    assert moved == {f"{n}/{role}" for n in "abc" for role in ("kernel", "bias")}


def test_the_result_tells_sizes_losses_and_what_was_left(
    pretrained_convnet: tuple,
) -> None:
    _, _, result = pretrained_convnet
    assert [layer.inputs for layer in result.layers] == [(9, 9, 1), (2, 2, 4), (6,)]
    assert [layer.outputs for layer in result.layers] == [(5, 5, 4), (1, 1, 6), (5,)]
    assert [layer.loss for layer in result.layers] == [
        "binary_crossentropy",
        "mean_squared_error",
        "mean_squared_error",
    ]
    assert result.left == {"norm": "neither Dense nor Conv2D", "head": "last layer"}
    assert result.table().splitlines()[1].split()[:4] == [
        "a",
        "9x9x1",
        "5x5x4",
        "binary_crossentropy",
    ]


@pytest.mark.one_backend
def test_an_activation_layer_counts_as_the_activation_of_the_layer_before() -> None:
    fused, apart = mlp("tanh"), keras.Sequential([keras.Input((6,))])
    for layer in fused.layers[:2]:
        apart.add(layers.Dense(layer.units))
        apart.add(layers.Dropout(0.5))
        apart.add(layers.Activation("tanh"))
    apart.add(layers.Dense(3))
    apart.set_weights(fused.get_weights())
    results = [
        pretrain_layerwise(model, rows(), epochs=2, **QUIET).layers
        for model in (fused, apart)
    ]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.history, other.history, rtol=1e-5)


def test_a_free_decoder_trains_a_kernel_of_its_own() -> None:
    weights = []
    for tied in (True, False):
        keras.utils.set_random_seed(0)
        model = mlp()
        start = model.get_weights()
        result = pretrain_layerwise(model, rows(), tied=tied, epochs=3, **QUIET)
        assert result.layers[0].history[-1] < result.layers[0].history[0]
        weights.append(model.get_weights()[0] - start[0])
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_optimizer_and_compiled_functions_of_the_model_stay() -> None:
    model, x = mlp(), rows()
    model.compile("adam", loss="sparse_categorical_crossentropy")
    y = np.zeros(len(x), "int32")
    model.fit(x, y, verbose=0)
    compiled, history = model.train_function, model.history
    state = copies(model.optimizer.variables)
    optimizer = keras.optimizers.SGD(0.1)
    pretrain_layerwise(model, x, epochs=1, optimizer=optimizer, **QUIET)
    assert_same(copies(model.optimizer.variables), state)
    assert model.train_function is compiled and model.history is history
    assert not optimizer.built
    pretrained = model.get_weights()
    model.fit(x, y, verbose=0)
    assert not np.array_equal(model.get_weights()[0], pretrained[0])


def test_no_node_loss_or_tracked_layer_is_left_on_the_model() -> None:
    model = mlp()
    model.layers[0].activity_regularizer = keras.regularizers.L2(0.1)
    known = [dict(vars(layer)) for layer in model.layers]
    pretrain_layerwise(model, rows(), epochs=1, **QUIET)
    assert not model.losses
    for layer, attributes in zip(model.layers, known, strict=True):
        assert vars(layer).keys() == attributes.keys()
        assert layer.output is not None


def test_one_seed_gives_one_result() -> None:
    found = []
    start = mlp().get_weights()
    for seed in (1, 1, 2):
        model = mlp()
        model.set_weights(start)
        pretrain_layerwise(model, rows(), epochs=1, seed=seed, verbose=0)
        found.append(model.get_weights())
    assert_same(found[0], found[1])
    assert not np.array_equal(found[0][0], found[2][0])


def test_no_random_state_moves_under_a_seed() -> None:
    def draws() -> list[float]:
        drawn = [random.random(), np.random.uniform()]
        return [*drawn, float(keras.ops.convert_to_numpy(keras.random.uniform(())))]

    keras.utils.set_random_seed(5)
    keras.random.uniform(())
    expected = draws()
    keras.utils.set_random_seed(5)
    keras.random.uniform(())
    pretrain_layerwise(mlp_with_own_seeds(), rows(), epochs=1, **QUIET)
    assert draws() == expected


def mlp_with_own_seeds() -> keras.Sequential:
    """As `mlp`, made without drawing from a global random state."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            *(
                layers.Dense(4, kernel_initializer=keras.initializers.GlorotNormal(k))
                for k in range(3)
            ),
        ]
    )


@pytest.mark.one_backend
def test_without_a_seed_python_gives_one() -> None:
    seeds = []
    for _ in range(2):
        random.seed(7)
        seeds.append(pretrain_layerwise(mlp(), rows(), epochs=1, verbose=0).seed)
    assert seeds[0] == seeds[1]


def test_an_error_in_a_later_layer_leaves_all_layers_as_they_were() -> None:
    model, x = mlp("relu"), rows()
    before = model.get_weights()
    optimizers = ["adam", keras.optimizers.SGD(1e30)]
    with pytest.raises(ValueError, match="the loss of every epoch must be finite"):
        pretrain_layerwise(model, x, epochs=3, optimizer=optimizers, **QUIET)
    assert_same(model.get_weights(), before)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_constraints_and_regularizers_of_a_layer_hold_in_pretraining() -> None:
    model = mlp()
    model.layers[0].kernel.constraint = keras.constraints.NonNeg()
    model.layers[1].kernel.regularizer = keras.regularizers.L2(100.0)
    result = pretrain_layerwise(model, rows(), epochs=2, **QUIET)
    assert model.layers[0].get_weights()[0].min() >= 0
    assert result.layers[1].history[0] > 100


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_policies_keep_float32_weights(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    model = mlp()
    before = model.get_weights()
    result = pretrain_layerwise(model, rows(), epochs=3, **QUIET)
    assert result.layers[0].history[-1] < result.layers[0].history[0]
    assert model.layers[0].kernel.dtype == "float32"
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_convolutions_with_their_channels_first_are_pretrained() -> None:
    first = {"data_format": "channels_first", "activation": "tanh"}
    model = keras.Sequential(
        [
            keras.Input((2, 6, 7)),
            layers.Conv2D(3, 3, strides=2, padding="same", name="a", **first),
            layers.Conv2D(4, 2, name="b", **first),
            layers.Flatten(data_format="channels_first"),
            layers.Dense(2, name="head"),
        ]
    )
    x = np.random.default_rng(0).uniform(size=(32, 2, 6, 7))
    result = pretrain_layerwise(model, x, epochs=3, **QUIET)
    assert [layer.outputs for layer in result.layers] == [(3, 3, 4), (4, 2, 3)]
    assert all(layer.history[-1] < layer.history[0] for layer in result.layers)


@pytest.mark.one_backend
def test_the_result_draws_the_losses_of_all_layers() -> None:
    result = pretrain_layerwise(mlp(), rows(), epochs=2, **QUIET)
    lines = result.plot().lines
    assert [line.get_label() for line in lines] == ["first", "second"]
    np.testing.assert_allclose(lines[1].get_ydata(), result.layers[1].history)
