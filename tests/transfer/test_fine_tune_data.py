"""What `fine_tune` takes, and what it refuses before anything changes."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from keras_deeptools.transfer import LayerGroups, fine_tune, layer_groups
from keras_deeptools.transfer._epoch_batches import ShuffledRows
from keras_deeptools.transfer._fine_tune.chosen_loss import chosen_loss
from transfer.pretrained import INPUTS, LABELS, Watch, pretrained, values

pytestmark = pytest.mark.one_backend

ONE_PHASE = {"frozen_epochs": 0, "epochs": 1, "verbose": 0}


class Batches(keras.utils.PyDataset):
    """Eight rows at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(index)
        rows = slice(8 * index, 8 * index + 8)
        return INPUTS[rows], LABELS[rows]


def generated() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        for index in range(4):
            rows = slice(8 * index, 8 * index + 8)
            yield INPUTS[rows], LABELS[rows]


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    """Weights after the arrays in their own order."""
    model = pretrained()
    options = {"shuffle": False, "batch_size": 8, "restore_best": False}
    fine_tune(model, INPUTS, LABELS, **ONE_PHASE, **options)
    return values(model)


def loader() -> torch.utils.data.DataLoader:
    rows = torch.utils.data.TensorDataset(
        torch.from_numpy(INPUTS), torch.from_numpy(LABELS)
    )
    return torch.utils.data.DataLoader(rows, batch_size=8)


OTHER_DATA = {
    "PyDataset": Batches,
    "Dataset": lambda: tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(8),
    "DataLoader": loader,
}


@pytest.mark.parametrize("kind", [*OTHER_DATA, "weights"])
def test_other_data_of_the_same_rows_give_the_same_weights(
    kind: str, reference: dict
) -> None:
    model = pretrained()
    options: dict = {"shuffle": False, "restore_best": False}
    options |= {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    if kind in OTHER_DATA:
        result = fine_tune(model, OTHER_DATA[kind](), **ONE_PHASE, **options)
    else:
        # Rows of no weight count as if they were not there.
        x = np.concatenate([INPUTS, INPUTS])
        y = np.concatenate([LABELS, LABELS])
        order = np.concatenate([np.arange(8 * i, 8 * i + 8) for i in (0, 4, 1, 5)])
        order = np.concatenate([order, order + 16])
        weights = np.repeat(np.tile([2.0, 0.0], 4), 8)
        options |= {"sample_weight": weights, "batch_size": 16}
        result = fine_tune(model, x[order], y[order], **ONE_PHASE, **options)
    assert result.epoch == [0]
    for name, value in values(model).items():
        np.testing.assert_allclose(value, reference[name], atol=1e-5, err_msg=name)


def test_a_generator_gives_as_many_batches_as_it_is_asked_for() -> None:
    model, watch = pretrained(), Watch()
    model.compile("sgd", "sparse_categorical_crossentropy")
    options = {"frozen_epochs": 0, "epochs": 2, "steps_per_epoch": 3}
    result = fine_tune(model, generated(), callbacks=[watch], verbose=0, **options)
    assert result.epoch == [0, 1] and watch.num_batches == 6
    assert int(model.optimizer.iterations) == 6


def test_every_epoch_has_each_row_once_in_an_order_of_its_own() -> None:
    rows = ShuffledRows((np.arange(10), np.arange(10.0)), 4, 3, seed=1)
    orders = []
    for epoch in (0, 1, 0):
        rows.begin(epoch)
        batches = [rows[i] for i in range(len(rows))]
        assert [len(x) for x, _ in batches] == [4, 4, 2]
        assert all((x == y).all() for x, y in batches)
        orders.append(np.concatenate([x for x, _ in batches]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] == orders[2] != orders[1]


def test_floats_come_as_keras_computes_with_them_and_pixels_as_they_are() -> None:
    rows = ShuffledRows((np.zeros(4), np.zeros(4, "uint8")), 4, 1, seed=None)
    assert [part.dtype for part in rows[0]] == ["float32", "uint8"]


def test_batches_of_a_data_set_come_in_an_order_of_each_epoch() -> None:
    batches, watch = Batches(), Watch()
    options = {"loss": "sparse_categorical_crossentropy", "seed": 0, "verbose": 0}
    fine_tune(
        pretrained(), batches, frozen_epochs=0, epochs=2, callbacks=[watch], **options
    )
    assert watch.num_batches == 8
    assert batches.asked[-8:-4] != batches.asked[-4:] != [0, 1, 2, 3]
    assert sorted(batches.asked[-4:]) == [0, 1, 2, 3]


def ending(activation: str | None, units: int = 3) -> keras.Model:
    head = keras.layers.Dense(units, activation)
    return keras.Sequential([keras.Input((2,)), head, keras.layers.Identity()])


@pytest.mark.parametrize(
    ("model", "y", "loss"),
    [
        (ending("softmax"), [0, 2], "sparse_categorical_crossentropy"),
        (ending("softmax"), [[0], [2]], "sparse_categorical_crossentropy"),
        (ending("softmax"), [[0, 0, 1], [1, 0, 0]], "categorical_crossentropy"),
        (ending("sigmoid", 1), [0, 1], "binary_crossentropy"),
    ],
    ids=["integers", "column", "one-hot", "sigmoid"],
)
def test_the_loss_is_told_from_activation_and_targets(
    model: keras.Model, y: list, loss: str
) -> None:
    assert chosen_loss("fine_tune", model, np.array(y)) == loss


@pytest.mark.parametrize(
    ("model", "y", "words"),
    [
        (ending(None), [0, 1], "ends in linear"),
        (ending("softmax"), [0.5, 1.5], "`y` holds 0.5, which is no class"),
    ],
    ids=["logits", "numbers"],
)
def test_a_loss_that_cannot_be_told_must_be_given(
    model: keras.Model, y: list, words: str
) -> None:
    with pytest.raises(ValueError, match=f"`loss` must be given.*{words}"):
        chosen_loss("fine_tune", model, np.array(y))


def other_groups() -> LayerGroups:
    return layer_groups(pretrained())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "`epochs` must be an integer >= 1"),
        ({"frozen_epochs": -1}, ValueError, "`frozen_epochs` must be"),
        ({"learning_rate": 0}, ValueError, "`learning_rate` must be"),
        ({"learning_rate": "1e-3"}, TypeError, "`learning_rate` must be"),
        ({"rate_ratio": 0.5}, ValueError, "`rate_ratio` must be"),
        ({"head": 0}, ValueError, "`head` must be .* Available: 0 'block1'"),
        ({"head": "neck"}, ValueError, "`head` must be"),
        ({"head": 1.5}, TypeError, "`head` must be"),
        ({"groups": other_groups()}, ValueError, "`groups` must be layer groups of"),
        ({"batch_norm": "off"}, ValueError, "`batch_norm` must be one of"),
        ({"cache": "yes"}, TypeError, "`cache` must be"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be"),
        ({"steps_per_epoch": 9}, ValueError, "at most the 1 batches"),
        ({"validation_split": 1.0}, ValueError, "`validation_split` must be"),
        ({"callbacks": ["early"]}, TypeError, "`callbacks` must be a list"),
        ({"monitor": "mine"}, ValueError, "`mode` must be 'min' or 'max'"),
        ({"mode": "up"}, ValueError, "`mode` must be one of"),
        ({"seed": -1}, ValueError, "`seed` must be"),
        ({"verbose": 3}, ValueError, "`verbose` must be"),
        ({"directory": 3}, TypeError, "`directory` must be a path"),
        ({"optimizer": "ftrl"}, ValueError, "proportional to its rate"),
        ({"sample_weight": np.ones(3)}, ValueError, "as many rows as one another"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_wrong_argument_is_named_and_nothing_changes(
    options: dict, error: type[Exception], words: str
) -> None:
    model = pretrained()
    with pytest.raises(error, match=words):
        fine_tune(model, INPUTS, LABELS, **({"epochs": 1} | options))
    assert not model.compiled
    assert len(model.trainable_variables) == 8


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (generated(), {}, "`steps_per_epoch` must be given .* 1cycle needs"),
        (generated(), {"steps_per_epoch": 4}, "`loss` must be given"),
        (generated(), {"steps_per_epoch": 4, "directory": "d"}, "PyDataset"),
        (Batches(), {"y": LABELS}, "`y` must be left out"),
        (Batches(), {"batch_size": 4}, "`batch_size` must be left out"),
        (Batches(), {"steps_per_epoch": 5}, "at most the 4 batches"),
        (Batches(), {"cache": True}, "`cache` must be"),
    ],
)
def test_what_does_not_go_with_data_of_a_kind_is_named(
    x: object, options: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        fine_tune(pretrained(), x, epochs=1, **options)


def test_a_model_must_be_built_and_be_one() -> None:
    with pytest.raises(TypeError, match="`model` must be a `keras.Model`"):
        fine_tune("model", INPUTS, LABELS, epochs=1)
    with pytest.raises(ValueError, match="`model` must be built"):
        unbuilt = keras.Sequential([keras.layers.Dense(2)])
        fine_tune(unbuilt, INPUTS, LABELS, epochs=1)


def test_a_metric_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="`monitor` must be .*Available: accuracy, "):
        fine_tune(pretrained(), INPUTS, LABELS, monitor="val_loss", **ONE_PHASE)
