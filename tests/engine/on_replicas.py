"""Trains on one device, then on two replicas, and prints how far apart the two are.

A program of its own, since TensorFlow's devices are fixed when it starts. It is given
names in `CASES` or `REFUSED`, or "resumed", and prints one dict as JSON. The replicas
are two devices of a process or, where `TF_CONFIG` tells of them, two processes.
"""

import contextlib
import json
import os
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_deeptools import attach
from keras_deeptools.callbacks import (
    AccumulationScheduler,
    AdaptiveGradientClipping,
    BestWeights,
    CautiousUpdates,
    GradientCentralizer,
    GradientClipper,
    GradientMonitor,
    GradientNoiseScale,
    HyperparameterScheduler,
    LearningRateFinder,
    MaxNormEnforcer,
    OneCycleScheduler,
    PercentileClipping,
    SharpnessAwareMinimization,
    SharpnessMonitor,
    SpikeGuard,
    TimeLimit,
    WeightAveraging,
    find_batch_size,
    find_learning_rate,
)
from keras_deeptools.engine import SeveralReplicasError
from keras_deeptools.transfer import DiscriminativeLearningRates, GradualUnfreezing
from keras_deeptools.uncertainty import mc_predict

ONE = tf.distribute.get_strategy()
if "TF_CONFIG" in os.environ:
    REPLICAS = tf.distribute.MultiWorkerMirroredStrategy()
else:
    CPU = tf.config.list_physical_devices("CPU")[0]
    TWO = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(CPU, TWO)
    REPLICAS = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

of = keras.optimizers
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(32, 5)).astype("float32")
Y = RANDOM.normal(size=(32, 1)).astype("float32")


class Scaled(keras.layers.Layer):
    """Multiplies by a number that is not trained."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(initializer="ones", trainable=False)

    def call(self, inputs):
        return inputs * self.scale


class OwnStep(keras.Model):
    """A model with a train step of its own and an optimizer in an attribute."""

    def __init__(self, network, optimizer):
        super().__init__()
        self.network, self.own_optimizer = network, optimizer
        self.built = True
        optimizer.build(network.trainable_variables)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            # One replica's part of the mean over all.
            error = tf.reduce_mean(tf.square(self.network(x) - y))
            count = tf.distribute.get_strategy().num_replicas_in_sync
            loss = error / count
        variables = self.network.trainable_variables
        self.own_optimizer.apply(tape.gradient(loss, variables), variables)
        return {"error": error}


def network(*between):
    keras.utils.set_random_seed(1)
    hidden, top = keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)
    return keras.Sequential([keras.Input((5,)), hidden, *between, top])


def compiled(optimizer, *between, **options):
    model = network(*between)
    model.compile(optimizer, "mse", **options)
    return model


def fitted(optimizer, *callbacks, between=(), **options):
    """Trains for three epochs of two updates."""
    model = compiled(optimizer, *between, **options)
    history = trained(model, *callbacks)
    return model, history


def trained(model, *callbacks, epochs=3, x=X):
    options = {"batch_size": 16, "shuffle": False, "verbose": 0}
    return model.fit(x, Y, epochs=epochs, callbacks=list(callbacks), **options).history


def everything():
    return [
        GradientMonitor(),
        OneCycleScheduler(0.1, total_steps=6),
        GradientClipper(global_norm=0.5),
        MaxNormEnforcer(0.5),
        WeightAveraging(0.9),
    ]


def of_embedding():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Embedding(9, 4), keras.layers.Flatten()]
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Sequential([inputs, *layers, keras.layers.Dense(1)])
    model.compile(of.Adam(0.01), "mse")
    tokens = np.random.default_rng(1).integers(0, 9, (32, 5))
    features = [GradientMonitor(), GradientClipper(norm=0.05), MaxNormEnforcer(0.1)]
    return model, trained(model, *features, x=tokens)


def by_groups():
    model = network()
    hidden, top = model.layers
    optimizer = DiscriminativeLearningRates(
        of.Nadam(0.1, weight_decay=0.1), [0.01, 0.1], groups=[hidden, top]
    )
    model.compile(optimizer, "mse")
    trained(model)
    return model, trained(model, GradientMonitor(), WeightAveraging(0.5))


def unfrozen():
    model = network(keras.layers.Dense(8, "tanh"), keras.layers.Dense(8, "tanh"))
    model.compile(of.Adam(0.01), "mse")
    unfreezing = GradualUnfreezing([1, 2], num_groups=3)
    return model, trained(model, unfreezing, GradientMonitor(), epochs=4)


def scheduled_layer():
    layer = Scaled()
    schedules = [(layer.scale, lambda step: 1.0 + 0.3 * step)]
    return fitted(of.SGD(0.1), HyperparameterScheduler(schedules), between=[layer])


def by_hand():
    model = compiled(of.Adam(0.1))
    with attach(model, *everything()):
        losses = [model.train_on_batch(X, Y) for _ in range(5)]
    return model, {"loss": losses}


def own_loop():
    model = compiled(of.Adam(0.1))
    strategy = model.distribute_strategy
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    batches = strategy.experimental_distribute_dataset(data)

    @tf.function
    def step(batch):
        def update(x, y):
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True))
            variables = model.trainable_variables
            model.optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        return strategy.reduce("SUM", strategy.run(update, args=batch), axis=None)

    with attach(model, *everything()):
        losses = [float(step(batch)) for _ in range(3) for batch in batches]
    return model, {"loss": losses}


def own_step():
    model = OwnStep(network(), of.Adam(0.1))
    model.compile()
    return model, trained(model, GradientMonitor(), MaxNormEnforcer(0.5))


def several_optimizers():
    model = network()
    first, second = of.SGD(0.1), of.Adam(0.1)
    hidden = {id(variable) for variable in model.layers[0].variables}
    mapped = of.MultiOptimizer(lambda v: first if id(v) in hidden else second)
    model.compile(mapped, "mse")
    return model, trained(model, GradientMonitor(), GradientClipper(norm=0.1))


def overflow_on_one_replica():
    scaler = of.LossScaleOptimizer(of.SGD(0.1), initial_scale=2.0)
    model = compiled(scaler)
    x = X.copy()
    x[12] = np.inf
    trained(model, OneCycleScheduler(0.1), epochs=1, x=x)
    return model, {"scale": [float(scaler.dynamic_scale.numpy())]}


def in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return fitted(of.SGD(0.1), *everything())
    finally:
        keras.config.set_dtype_policy("float32")


def range_tested():
    model = compiled(of.SGD(0.1))
    options = {"batch_size": 16, "num_steps": 12, "shuffle": False, "verbose": 0}
    result = find_learning_rate(model, X, Y, **options)
    finder = LearningRateFinder(X, Y, apply=False, **options)
    trained(model, finder)
    losses = [*result.losses, *finder.result.losses]
    return model, {"losses": [float(loss) for loss in losses]}


def monitored():
    """The monitors that measure on samples of their own, and their numbers."""
    noise = GradientNoiseScale(X, Y, num_samples=32, seed=0)
    sharpness = SharpnessMonitor(X, Y, num_samples=32, seed=0)
    model, _ = fitted(of.SGD(0.1), noise, sharpness)
    found = noise.history | sharpness.history
    return model, {n: np.round(found[n], 4) for n in ("squared_norm", "sharpness")}


def batch_size_found():
    model = compiled(of.Adam(0.1))
    options = {"seconds": 0.001, "min_steps": 1, "max_batch_size": 8}
    found = find_batch_size(model, X, Y, **options)
    return model, {"sizes": found.batch_sizes.tolist()}


def predicted():
    model = compiled("sgd", keras.layers.Dropout(0.5, seed=3))
    found = mc_predict(model, X, num_samples=8, seed=0, verbose=0)
    return model, {"mean": found.mean.ravel().tolist()}


CASES = {
    "GradientMonitor": lambda: fitted(of.Adam(0.1), GradientMonitor()),
    "GradientClipper": lambda: fitted(
        of.Adam(0.01), GradientClipper(value=0.05, norm=0.1, global_norm=0.1)
    ),
    "OneCycleScheduler": lambda: fitted(of.SGD(0.1), OneCycleScheduler(0.3)),
    "HyperparameterScheduler": lambda: fitted(
        of.Adam(0.1), HyperparameterScheduler({"beta_2": lambda s: 0.9 + 0.001 * s})
    ),
    "MaxNormEnforcer": lambda: fitted(
        of.AdamW(0.1, weight_decay=0.1), MaxNormEnforcer(0.5)
    ),
    "WeightAveraging": lambda: fitted(of.Adam(0.1), WeightAveraging(0.9)),
    "AdaptiveGradientClipping": lambda: fitted(
        of.SGD(0.1), AdaptiveGradientClipping(0.01)
    ),
    "PercentileClipping": lambda: fitted(of.SGD(0.1), PercentileClipping(50, window=3)),
    "GradientCentralizer": lambda: fitted(of.SGD(0.1), GradientCentralizer()),
    "CautiousUpdates": lambda: fitted(of.SGD(0.1, momentum=0.9), CautiousUpdates()),
    "BestWeights, TimeLimit": lambda: fitted(
        of.Adam(0.1), BestWeights("loss"), TimeLimit(minutes=9, monitor="loss")
    ),
    "GradientNoiseScale, SharpnessMonitor": monitored,
    "find_batch_size": batch_size_found,
    "all callbacks": lambda: fitted(of.Adam(0.1), *everything()),
    "run_eagerly": lambda: fitted(of.Adam(0.1), *everything(), run_eagerly=True),
    "rates by group": by_groups,
    "unfreezing": unfrozen,
    "a scheduled layer": scheduled_layer,
    "an embedding": of_embedding,
    "Keras' own clipping": lambda: fitted(
        of.SGD(0.1, clipnorm=0.1), OneCycleScheduler(0.3)
    ),
    "accumulation": lambda: fitted(
        of.SGD(0.1, gradient_accumulation_steps=2), *everything()[:4]
    ),
    "use_ema": lambda: fitted(
        of.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
        MaxNormEnforcer(0.5),
    ),
    "several optimizers": several_optimizers,
    "overflow on one replica": overflow_on_one_replica,
    "mixed_float16": in_float16,
    "attach": by_hand,
    "a loop of one's own": own_loop,
    "a train step of one's own": own_step,
    "the range test": range_tested,
    "mc_predict": predicted,
}
"""What is trained: a function that returns the model and numbers by name."""


def compared(case):
    """How far the same training on one device and on two replicas is apart."""
    found = []
    for strategy in (ONE, REPLICAS):
        with strategy.scope():
            found.append(case())
    (one, numbers), (two, other_numbers) = found
    variables = [*two.variables, *getattr(two.optimizer, "variables", [])]
    copies = [REPLICAS.experimental_local_results(v.value) for v in variables]
    first = [copy[0].numpy() for copy in copies]
    last = [copy[-1].numpy() for copy in copies]
    return {
        "weights": farthest(one.get_weights(), two.get_weights()),
        "numbers": farthest(numbers.values(), other_numbers.values()),
        "copies": farthest(first, last),
    }


def farthest(ones, others):
    pairs = zip(ones, others, strict=True)
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)


class Break(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def resumed():
    """How far a training that was broken off and resumed is from one that was not."""

    def run(folder, *others):
        with REPLICAS.scope():
            model = compiled(of.Adam(0.1))
        backup = keras.callbacks.BackupAndRestore(f"{folder}/backup")
        checkpoint = keras.callbacks.ModelCheckpoint(f"{folder}/model.keras")
        trained(model, *everything(), backup, checkpoint, *others, epochs=4)
        loaded = keras.models.load_model(f"{folder}/model.keras")
        found = [*model.variables, *model.optimizer.variables]
        saved = [*loaded.variables, *loaded.optimizer.variables]
        return [keras.ops.convert_to_numpy(v) for v in (*found, *saved)]

    with tempfile.TemporaryDirectory() as folder:
        whole = run(f"{folder}/whole")
        with contextlib.suppress(KeyboardInterrupt):
            run(f"{folder}/broken", Break())
        return {"weights": farthest(whole, run(f"{folder}/broken"))}


def refused(make):
    """What the error says."""
    made = make()
    model, callback = made if isinstance(made, tuple) else (made, GradientMonitor())
    try:
        trained(model, callback, epochs=1)
    except SeveralReplicasError as error:
        return str(error)
    return None


def made_outside():
    with REPLICAS.scope():
        model = network()
    model.compile("sgd", "mse")
    return model


def made_inside(**options):
    with REPLICAS.scope():
        return compiled(of.SGD(0.1), **options)


def not_built():
    with REPLICAS.scope():
        model = OwnStep(network(), of.Adam(0.1))
        model.own_optimizer = of.Adam(0.1)
        model.compile()
    return model


REFUSED = {
    "made outside": made_outside,
    "not built": not_built,
    "steps_per_execution": lambda: made_inside(steps_per_execution=2),
    "jit_compile": lambda: made_inside(jit_compile=True),
    "SpikeGuard": lambda: (made_inside(), SpikeGuard()),
    "SharpnessAwareMinimization": lambda: (made_inside(), SharpnessAwareMinimization()),
    "AccumulationScheduler": lambda: (made_inside(), AccumulationScheduler({0: 2})),
}


if __name__ == "__main__":
    results = {}
    for name in sys.argv[1:]:
        if name in CASES:
            results[name] = compared(CASES[name])
        elif name in REFUSED:
            results[name] = refused(REFUSED[name])
        else:
            results[name] = resumed()
    print(json.dumps(results))
