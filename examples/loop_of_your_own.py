"""Your own training loop, with gradients monitored and clipped in every step.

python examples/loop_of_your_own.py
"""

import keras
import numpy as np
from sklearn.datasets import load_diabetes

from keras_deeptools import attach
from keras_deeptools.callbacks import GradientClipper, GradientMonitor


def main(epochs: int = 20, batch_size: int = 32) -> list[float]:
    """Returns the mean loss of each epoch."""
    keras.utils.set_random_seed(0)
    x, y = load_diabetes(return_X_y=True, scaled=True)
    x, y = x * 20, (y - y.mean()) / y.std()
    model = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(32, "tanh"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    monitor, losses = GradientMonitor(on_problem="ignore"), []
    with attach(model, monitor, GradientClipper(global_norm=1.0)):
        for epoch in range(epochs):
            order = np.random.default_rng(epoch).permutation(len(x))
            batches = np.array_split(order, len(x) // batch_size)
            epoch_losses = []
            for rows in batches:
                model.reset_metrics()
                epoch_losses.append(float(model.train_on_batch(x[rows], y[rows])))
            losses.append(float(np.mean(epoch_losses)))
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    print(f"largest gradient before clipping: {monitor.global_norms.max():.2f}")
    return losses


if __name__ == "__main__":
    main()
