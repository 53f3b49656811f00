"""Which variables a choice of layers stands for."""

from collections.abc import Iterator

import keras
import pytest
from keras import layers

from keras_deeptools.callbacks._layer_selection import LayerSelection
from keras_deeptools.engine import Feature, attach


class Seen(Feature):
    """Keeps the leaves of an attachment."""

    def prepare(self, leaf):
        self.leaves = [*getattr(self, "leaves", []), leaf]


def chosen(model: keras.Model, choice: object, target: object = None) -> list[str]:
    """Ends of the paths of the variables that are chosen."""
    seen = Seen()
    with attach(target or model, seen):
        held = [h for leaf in seen.leaves for h in LayerSelection(choice, "X").of(leaf)]
    return ["/".join(h.variable.path.split("/")[-2:]) for h in held]


@pytest.fixture
def model() -> Iterator[keras.Model]:
    encoder = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.LSTM(2, name="memory"),
            layers.Dense(2, name="code"),
        ],
        name="encoder",
    )
    inputs = keras.Input((5, 3))
    shared = layers.Dense(2, name="shared")
    outputs = layers.Dense(1, name="head_1")(shared(shared(encoder(inputs))))
    model = keras.Model(inputs, outputs, name="whole")
    model.compile("sgd", "mse")
    return model


CODE = ["code/kernel", "code/bias"]
MEMORY = ["lstm_cell/kernel", "lstm_cell/recurrent_kernel", "lstm_cell/bias"]
SHARED = ["shared/kernel", "shared/bias"]
HEAD = ["head_1/kernel", "head_1/bias"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, MEMORY + CODE + SHARED + HEAD),
        ("shared", SHARED),
        ("head_*", HEAD),
        (["head_1", "code"], CODE + HEAD),
        ("encoder", MEMORY + CODE),
        ("memory", MEMORY),
        ("encoder/code", CODE),
        ("*/recurrent_kernel", MEMORY[1:2]),
        ("head_?/kernel", HEAD[:1]),
        (lambda layer: isinstance(layer, layers.LSTM), MEMORY),
    ],
)
def test_a_choice_stands_for_all_variables_in_the_layers_it_names(
    model: keras.Model, choice: object, expected: list[str]
) -> None:
    assert chosen(model, choice) == expected


def test_a_layer_of_the_model_is_a_choice(model: keras.Model) -> None:
    assert chosen(model, model.get_layer("shared")) == SHARED
    assert chosen(model, [model.get_layer("encoder")]) == MEMORY + CODE


def test_a_pattern_without_a_slash_is_not_compared_with_the_models_name(
    model: keras.Model,
) -> None:
    with pytest.raises(ValueError, match="matches none"):
        chosen(model, "whol*")


@pytest.mark.parametrize("choice", ["dense_99", lambda layer: False])
def test_a_choice_that_matches_nothing_is_refused_with_the_names_there_are(
    model: keras.Model, choice: object
) -> None:
    with pytest.raises(ValueError, match="Available: .*code, .*shared, head_1"):
        chosen(model, choice)


def test_a_layer_of_another_model_is_refused(model: keras.Model) -> None:
    other = layers.Dense(3, name="stranger")
    other.build((None, 2))
    with pytest.raises(ValueError, match="stranger.*matches none"):
        chosen(model, other)


def test_a_choice_of_frozen_layers_alone_is_refused(model: keras.Model) -> None:
    model.get_layer("shared").trainable = False
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="frozen"):
        chosen(model, "shared")
    assert chosen(model, ["shared", "head_1"]) == HEAD


@pytest.mark.parametrize("choice", [3, [3], {"a": 1}])
def test_a_choice_of_another_type_is_refused(choice: object) -> None:
    with pytest.raises(TypeError, match="X: `layers` must be None, or one or more"):
        LayerSelection(choice, "X")


def test_an_empty_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="X: `layers` must be"):
        LayerSelection([], "X")


def test_layers_are_found_in_subclassed_models_and_lists() -> None:
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [layers.Dense(2, name="a"), layers.Dense(1, name="b")]
            self.gain = self.add_weight(shape=(1,), name="gain")

        def call(self, inputs):
            return self.blocks[1](self.blocks[0](inputs)) * self.gain

    model = Own()
    model(keras.ops.ones((1, 2)))
    model.compile("sgd", "mse")
    assert chosen(model, "b") == ["b/kernel", "b/bias"]
    by_model = chosen(model, lambda layer: isinstance(layer, Own))
    assert [path.split("/")[-1] for path in by_model] == ["gain"]


def test_without_the_model_names_are_compared_with_the_paths_of_variables(
    model: keras.Model,
) -> None:
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    assert chosen(model, "shared", optimizer) == SHARED
    assert chosen(model, "*/recurrent_kernel", optimizer) == MEMORY[1:2]
    with pytest.raises(ValueError, match="Attach to the compiled model"):
        chosen(model, lambda layer: True, optimizer)


def test_each_part_of_a_multi_optimizer_gets_the_chosen_variables_it_trains(
    model: keras.Model,
) -> None:
    parts = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1), {"head_1/.*": keras.optimizers.Adam(0.1)}
    )
    model.compile(keras.optimizers.MultiOptimizer(parts), "mse")
    assert chosen(model, ["shared", "head_1"]) == HEAD + SHARED
