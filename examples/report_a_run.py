"""Write one page about a training run, to read, keep and send.

python examples/report_a_run.py
"""

import time
from pathlib import Path

import keras
from sklearn.datasets import load_digits

from keras_deeptools import find_learning_rate
from keras_deeptools.callbacks import GradientMonitor, OneCycleScheduler
from keras_deeptools.diagnosis import signal_propagation
from keras_deeptools.report import training_report
from keras_deeptools.uncertainty import mc_predict, reliability_diagram


def main(epochs: int = 20, path: str = "digits_report.html") -> Path:
    """Trains on few labels, and returns the path of the page about it."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    train, test = (x[:500], y[:500]), (x[500:], y[500:])
    layers: list[keras.Layer] = []
    for number in range(4):
        init = {"kernel_initializer": "he_normal", "name": f"hidden_{number}"}
        layers += [keras.layers.Dense(64, "relu", **init), keras.layers.Dropout(0.1)]
    top = keras.layers.Dense(10, "softmax", name="top")
    model = keras.Sequential([keras.Input((64,)), *layers, top], name="digits")
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(momentum=0.9), loss, metrics=["accuracy"])

    signals = signal_propagation(model, *train, loss)
    rates = find_learning_rate(model, *train, verbose=0)
    monitor, one_cycle = GradientMonitor(on_problem="ignore"), OneCycleScheduler(rates)
    start = time.perf_counter()
    history = model.fit(
        *train,
        epochs=epochs,
        validation_data=test,
        callbacks=[monitor, one_cycle],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    sure = mc_predict(model, test[0], num_samples=20, seed=0, verbose=0)
    shown = {
        "Rates": one_cycle,
        "Gradients": monitor,
        "Range test": rates,
        "Signals before training": signals,
        "Calibration of Monte Carlo dropout": reliability_diagram(sure.mean, test[1]),
    }
    page = training_report(history, shown, path, title="Digits", seconds=seconds)
    print(f"Open {page.resolve().as_uri()}")
    return page


if __name__ == "__main__":
    main()
