"""Each feature once, on whatever Keras and backend are installed: `python smoke.py`.

Stands on nothing but the package and numpy, so that an environment needs no test tools.
Prints one line of JSON: for each feature "works", "refused: ..." where an error names a
version of Keras as the reason, or "fails: ...".
"""

import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable

import keras
import numpy as np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def network(*layers: keras.layers.Layer, optimizer: object = "adam") -> keras.Model:
    """A small classifier, compiled."""
    keras.utils.set_random_seed(0)
    hidden = layers or (keras.layers.Dense(8, "relu"), keras.layers.Dense(8, "relu"))
    model = keras.Sequential([keras.Input((6,)), *hidden, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def callbacks_together() -> None:
    """Monitor, 1cycle and max-norm in one `fit`; the record is that of plain SGD."""
    from keras_deeptools.callbacks import (
        GradientMonitor,
        MaxNormEnforcer,
        OneCycleScheduler,
    )

    model = network(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    monitor, cycle = GradientMonitor(), OneCycleScheduler(0.5)
    callbacks = [monitor, cycle, MaxNormEnforcer(0.5)]
    model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    norms = np.linalg.norm(np.array(model.layers[0].kernel), axis=0)
    assert norms.max() <= 0.5 + 1e-5, norms
    assert len(cycle.history["learning_rate"]) == 4
    assert max(cycle.history["learning_rate"]) <= 0.5
    assert monitor.history


def weight_averaging() -> None:
    """The average of a plain run's weights, step by step."""
    from keras_deeptools.callbacks import WeightAveraging

    model = network(optimizer="sgd")
    averaging = WeightAveraging()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[averaging])
    assert np.isfinite(np.array(model.layers[0].kernel)).all()


def range_test() -> None:
    """The first loss is that of the first batch, and the model is as it was."""
    from keras_deeptools.callbacks import find_learning_rate

    model = network(optimizer="sgd")
    before = [np.array(value) for value in model.get_weights()]
    batches = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 64, 16)]
    losses = [float(model.evaluate(x, y, verbose=0)[0]) for x, y in batches]
    found = find_learning_rate(
        model, X, Y, batch_size=16, num_steps=40, min_learning_rate=1e-8, shuffle=False
    )
    for one, other in zip(before, model.get_weights(), strict=True):
        assert (one == other).all()
    assert np.allclose(found.losses[:4], losses, atol=1e-3), (found.losses[:4], losses)


def diagnosis() -> None:
    """A dead layer is found, and a copied kernel."""
    from keras_deeptools.diagnosis import audit, signal_propagation

    dead = keras.layers.Dense(
        8, "relu", bias_initializer=keras.initializers.Constant(-99)
    )
    model = network(dead, keras.layers.Dense(8, "relu"))
    signals = signal_propagation(model, X, Y)
    assert signals.findings
    model.trainable = False
    assert audit(model).findings


def monte_carlo() -> None:
    """Draws differ, and their mean is near the pass without dropout."""
    from keras_deeptools.uncertainty import mc_predict

    model = network(keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2))
    drawn = mc_predict(model, X, 30)
    assert np.array(drawn.std).max() > 0
    assert np.array(drawn.mean).shape == (64, 2)


def layer_rates() -> None:
    """Lower layers train more slowly."""
    from keras_deeptools.transfer import DiscriminativeLearningRates

    model, plain = network(), network(optimizer=keras.optimizers.SGD(0.1))
    rates = DiscriminativeLearningRates(
        keras.optimizers.SGD(0.1), [0.001, 0.01, 0.1], groups=model
    )
    model.compile(rates, model.loss)
    before = np.array(model.layers[0].kernel)
    for each in (model, plain):
        each.train_on_batch(X, Y)
    moves = [np.array(each.layers[0].kernel) - before for each in (model, plain)]
    assert np.allclose(moves[0], 0.01 * moves[1], atol=1e-6), moves


def freezing() -> None:
    """What is frozen stays, and trains again when its time has come."""
    from keras_deeptools.transfer import GradualUnfreezing, freeze, unfreeze

    model = network()
    before = np.array(model.layers[0].kernel)
    freeze(model.layers[0])
    model.fit(X, Y, verbose=0)
    assert (np.array(model.layers[0].kernel) == before).all()
    unfreeze(model.layers[0])
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[GradualUnfreezing([1, 2])])
    assert (np.array(model.layers[0].kernel) != before).any()


def fine_tuning() -> None:
    """A head on cached features, then all layers; stopping ends one phase alone."""
    from keras_deeptools.transfer import fine_tune

    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    result = fine_tune(
        network(), X, Y, frozen_epochs=3, epochs=3, verbose=0, callbacks=[stop]
    )
    assert result.epoch == [0, 1, 3, 4], result.epoch
    assert np.isfinite(result.history["loss"]).all()


def layer_sequential_variance() -> None:
    """Each layer's outputs get variance 1."""
    from keras_deeptools.initializers import lsuv

    model = network()
    lsuv(model, X)
    outputs = keras.Model(model.inputs, model.layers[0].output).predict(X, verbose=0)
    assert np.isfinite(outputs).all()


def pretraining() -> None:
    """An autoencoder's encoder, from inputs alone."""
    from keras_deeptools.pretraining import pretrain_denoising

    model = network()
    before = np.array(model.layers[0].kernel)
    pretrain_denoising(model, X, epochs=1, verbose=0)
    assert (np.array(model.layers[0].kernel) != before).any()


def initializers() -> None:
    """Fans of kernels with several axes."""
    from keras_deeptools.initializers import FanScaling, ScaledOrthogonal, initialize

    layer = keras.layers.EinsumDense(
        "abc,cde->abde", (None, 8, 64), kernel_initializer=FanScaling(2.0)
    )
    layer.build((None, 4, 256))
    deviation = float(np.std(np.array(layer.kernel)))
    assert abs(deviation * 256**0.5 - 2) < 0.05, deviation * 256**0.5
    assert np.isfinite(np.array(ScaledOrthogonal()((8, 8)))).all()
    initialize(network())


def search() -> None:
    """Three trials of KerasTuner."""
    import keras_tuner

    from keras_deeptools.tuning import DeepHyperModel

    def build(hp: object) -> keras.Model:
        return network()

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            DeepHyperModel(build, max_epochs=1), "loss", max_trials=2, directory=folder
        )
        tuner.search(X, Y, epochs=1, verbose=0)
        assert len(tuner.oracle.trials) == 2


FEATURES: dict[str, Callable[[], None]] = {
    "callbacks together": callbacks_together,
    "WeightAveraging": weight_averaging,
    "find_learning_rate": range_test,
    "audit, signal_propagation": diagnosis,
    "mc_predict": monte_carlo,
    "DiscriminativeLearningRates": layer_rates,
    "freeze, GradualUnfreezing": freezing,
    "fine_tune": fine_tuning,
    "lsuv": layer_sequential_variance,
    "pretraining": pretraining,
    "initializers": initializers,
    "KerasTuner search": search,
}


def main() -> int:
    """Runs every feature; returns how many fail."""
    outcomes = {}
    for name, feature in FEATURES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                feature()
            outcomes[name] = "works"
        except Exception as error:
            text = f"{type(error).__name__}: {str(error).strip()[:300]}"
            refused = "needs Keras" in text
            outcomes[name] = f"{'refused' if refused else 'fails'}: {text}"
            if "--trace" in sys.argv:
                traceback.print_exc()
    facts = {"keras": keras.__version__, "backend": keras.backend.backend()}
    print(json.dumps(facts | {"python": sys.version.split()[0], "features": outcomes}))
    return sum(outcome.startswith("fails") for outcome in outcomes.values())


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
