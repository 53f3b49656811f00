"""What is attached to an optimizer follows when layers are frozen and unfrozen."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_deeptools.callbacks import (
    GradientClipper,
    GradientMonitor,
    MaxNormEnforcer,
    OneCycleScheduler,
    TrainingFeature,
)
from keras_deeptools.engine import Feature, attach
from keras_deeptools.transfer import freeze, unfreeze
from transfer.two_branches import optimizers, train, two_branches


def two_parts() -> keras.optimizers.Optimizer:
    """One optimizer for `left`, one for the rest."""
    rest, left = (keras.optimizers.SGD(0.1, momentum=0.9) for _ in range(2))
    chosen = keras.optimizers.OptimizerMap(rest, {"left.*": left})
    return keras.optimizers.MultiOptimizer(chosen)


MAKERS = optimizers() | {
    "SGD without momentum": lambda: keras.optimizers.SGD(0.1),
    "MultiOptimizer": two_parts,
}
NAMES = ("SGD without momentum", "LossScaleOptimizer")
MORE = (
    "MultiOptimizer",
    "SGD with momentum",
    "Adam",
    "gradient accumulation",
    "moving averages",
)


class Toggle(keras.callbacks.Callback):
    """Freezes `left` in epoch 1, and unfreezes it in epoch 2."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        action = {1: freeze, 2: unfreeze}.get(epoch)
        if action is not None:
            action(self.model, "left")


def features() -> list[keras.callbacks.Callback]:
    return [
        OneCycleScheduler(0.1),
        GradientClipper(norm=0.1),
        MaxNormEnforcer(1.2),
        GradientMonitor(on_problem="ignore"),
    ]


def weights(model: keras.Model, layer: str) -> list[np.ndarray]:
    return model.get_layer(layer).get_weights()


@pytest.mark.parametrize(
    "name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
def test_features_go_on_for_what_is_trained_as_if_nothing_had_happened(
    name: str,
) -> None:
    make: Callable = MAKERS[name]
    model, plain = two_branches(make()), two_branches(make())
    these, those = features(), features()
    train(model, 3, callbacks=[these[0], Toggle(), *these[1:]])
    train(plain, 3, callbacks=those)
    for this, that in zip(
        weights(model, "right"), weights(plain, "right"), strict=True
    ):
        np.testing.assert_array_equal(this, that)
    for key, values in those[0].history.items():
        np.testing.assert_array_equal(these[0].history[key], values)
    columns = [i for i, path in enumerate(those[3].variables) if "right" in path]
    assert these[3].variables == those[3].variables
    for key, table in those[3].history.items():
        np.testing.assert_array_equal(
            these[3].history[key][:, columns], table[:, columns]
        )
    assert not vars(model.optimizer).keys() & {"_keras_deeptools_site"}
    shapes = [variable.shape for variable in plain.optimizer.variables]
    assert [variable.shape for variable in model.optimizer.variables] == shapes


def test_what_is_frozen_has_no_gradient_in_the_record() -> None:
    model, monitor = two_branches("adam"), GradientMonitor(on_problem="ignore")
    train(model, 3, callbacks=[Toggle(), monitor])
    left = [i for i, path in enumerate(monitor.variables) if "left" in path]
    recorded = np.isfinite(monitor.history["norm"][:, left]).all(axis=1)
    assert recorded.tolist() == [True, True, False, False, True, True]
    assert np.isfinite(monitor.global_norms).all()


def test_what_is_unfrozen_later_comes_where_it_is_in_the_model() -> None:
    model = two_branches("adam")
    freeze(model, "left")
    monitor = GradientMonitor(on_problem="ignore", group="layer")
    clipper, enforcer = GradientClipper(norm=1e-6), MaxNormEnforcer(0.5)

    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 1:
                unfreeze(self.model, "left")

    train(model, 2, callbacks=[monitor, clipper, enforcer, Unfreeze()])
    assert monitor.variables == ["left", "right"]
    recorded = np.isfinite(monitor.history["norm"])
    assert recorded.tolist() == [[False, True]] * 2 + [[True, True]] * 2
    assert clipper.num_updates == 4
    assert clipper.activity == {"left": 1.0, "right": 1.0}
    assert enforcer.activity["left/kernel"] > 0.2
    kernel = weights(model, "left")[0]
    assert np.linalg.norm(kernel, axis=0).max() <= 0.5


def test_a_part_of_a_multioptimizer_joins_when_it_begins_to_train() -> None:
    multi = two_parts()
    model = two_branches(multi)
    freeze(model, "left")
    callbacks = features()

    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 1:
                unfreeze(self.model, "left")

    watched: list[Any] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            parts = self.model.optimizer.optimizers
            rates = [float(keras.ops.convert_to_numpy(o.learning_rate)) for o in parts]
            watched.append(rates)

    train(model, 3, callbacks=[Unfreeze(), *callbacks, Watch()])
    assert watched[2][0] == watched[2][1] != watched[1][0]
    assert watched[5][0] == watched[5][1]
    assert np.isfinite(callbacks[3].history["norm"][2:]).all()
    np.testing.assert_allclose(
        [float(keras.ops.convert_to_numpy(o.learning_rate)) for o in multi.optimizers],
        0.1,
    )


class Prepared(Feature):
    """Prepares state and says nothing of how it follows."""

    def prepare(self, leaf: Any) -> list[str]:
        return leaf.paths


class Begun(TrainingFeature):
    """The same, as a callback."""

    def begin(self, leaf: Any) -> list[str]:
        return leaf.paths


class Plain(TrainingFeature):
    """Holds no state."""

    def transform_gradients(self, state: Any, leaf: Any, gradients: list) -> list:
        return [gradient * 0.5 for gradient in gradients]


@pytest.mark.alternates("kind")
@pytest.mark.parametrize("kind", [Prepared, Begun])
def test_a_feature_that_cannot_follow_is_named_and_nothing_has_changed(
    kind: type,
) -> None:
    model = two_branches("adam")
    train(model)
    clipper = GradientClipper(norm=1.0)
    with attach(model, clipper, kind()):
        with pytest.raises(ValueError, match=f"{kind.__name__} attached now"):
            freeze(model, "left")
        assert len(model.trainable_variables) == 4
        before = weights(model, "left")[0]
        train(model)
        assert (weights(model, "left")[0] != before).any()
        assert clipper.activity.keys() == {"left", "right"}
    freeze(model, "left")
    train(model)


def test_a_choice_of_layers_that_is_left_without_weights_stops_the_freezing() -> None:
    model = two_branches("adam")
    train(model)
    with attach(model, Plain(), GradientMonitor(layers="left", on_problem="ignore")):
        with pytest.raises(ValueError, match="must choose layers that are trained"):
            freeze(model, "left")
        train(model)
    assert len(model.optimizer.variables) == 2 + 2 * 4


def test_a_feature_without_state_follows_and_leaves_nothing_behind() -> None:
    model, plain = two_branches("adam"), two_branches("adam")
    with attach(model, Plain()):
        freeze(model, "left")
        train(model)
    unfreeze(model)
    train(model)
    freeze(plain, "left")
    with attach(plain, Plain()):
        train(plain)
    unfreeze(plain)
    train(plain)
    for this, that in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(this, that)
