"""Small networks and data to pretrain on."""

import keras
import numpy as np

layers = keras.layers


def mlp(activation: str = "tanh") -> keras.Sequential:
    """Two hidden layers and a head."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation, name="first"),
            layers.Dense(4, activation, name="second"),
            layers.Dense(3, "softmax", name="head"),
        ]
    )


def residual() -> keras.Model:
    """A nested model, batch normalization, dropout and a branch."""
    inputs = keras.Input((8, 8, 1))
    inner_in = keras.Input((8, 8, 1))
    inner = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")
    inner = keras.Model(
        inner_in, layers.BatchNormalization(name="norm")(inner(inner_in))
    )
    x = inner(inputs)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Dropout(0.1, name="dropout")(layers.Add()([x, y]))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


def rows(count: int = 64, features: int = 6) -> np.ndarray:
    """Rows in [0, 1] that lie on a plane, so that they can be compressed."""
    generator = np.random.default_rng(0)
    codes = generator.uniform(size=(count, 2))
    return (codes @ generator.uniform(size=(2, features)) / 2).astype("float32")


def images(count: int = 64) -> np.ndarray:
    """Images `(8, 8, 1)` in [0, 1], each a bright bar at a place of its own."""
    x = np.zeros((count, 8, 8, 1), "float32")
    for row, place in enumerate(np.random.default_rng(0).integers(8, size=count)):
        x[row, place] = 1
    return x


def copies(variables: list) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def moved(model: keras.Model, before: list[np.ndarray]) -> set[str]:
    """The variables with values other than before, as `layer/role`."""
    return {
        "/".join(variable.path.split("/")[-2:])
        for variable, old, new in zip(
            model.variables, before, copies(model.variables), strict=True
        )
        if not np.array_equal(old, new)
    }
