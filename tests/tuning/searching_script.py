"""A search of which the first run of one trial is killed in its middle.

What a user's script looks like that the launcher is given: nothing in it knows of a
chief or of workers, but for the callback that kills.
"""

import os
import signal
import sys

import keras
import keras_tuner
import numpy as np

VICTIM, *KIND = sys.argv[1:]
x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
y = x.sum(1)


class KillOnce(keras.callbacks.Callback):
    """Kills its process, or the launcher, at the end of the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        name = os.environ["KERASTUNER_TUNER_ID"]
        if os.path.exists("killed") or VICTIM not in (name, "launcher"):
            return
        open("killed", "w").close()
        victim = os.getppid() if VICTIM == "launcher" else os.getpid()
        os.kill(victim, signal.SIGKILL)


def build(hp):
    hidden = keras.layers.Dense(hp.Int("units", 1, 32))
    model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


if KIND == ["hyperband"]:
    tuner = keras_tuner.Hyperband(
        build, "val_loss", max_epochs=2, factor=2, seed=0, directory="search"
    )
else:
    tuner = keras_tuner.RandomSearch(
        build, "val_loss", max_trials=5, seed=0, directory="search"
    )
data = {"validation_data": (x, y), "epochs": 2, "batch_size": 32}
tuner.search(x, y, verbose=0, callbacks=[KillOnce()], **data)
statuses = [trial.status for trial in tuner.oracle.get_best_trials(99)]
print("trials:", *statuses)
