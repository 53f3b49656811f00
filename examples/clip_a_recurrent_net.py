"""Monitor and clip the exploding gradients of a recurrent network.

python examples/clip_a_recurrent_net.py
"""

import keras
import numpy as np

from keras_deeptools.callbacks import GradientClipper, GradientMonitor


def sums(rows: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of a number and a mark; the target is the sum of the marked two.

    The adding problem of Hochreiter and Schmidhuber, 1997, section 5.4.
    """
    random = np.random.default_rng(seed)
    numbers = random.uniform(0, 1, (rows, steps))
    marks = np.zeros((rows, steps))
    for row in range(rows):
        marks[row, random.choice(steps, 2, replace=False)] = 1
    x = np.stack([numbers, marks], axis=-1).astype("float32")
    return x, np.sum(numbers * marks, axis=1).astype("float32")


def main(epochs: int = 10, steps: int = 20) -> dict[str, float]:
    """Returns the loss at the end, without and with clipping."""
    x, y = sums(1000, steps, seed=0)
    found = {}
    for name, clippers in (
        ("plain", []),
        ("clipped", [GradientClipper(global_norm=1.0)]),
    ):
        keras.utils.set_random_seed(0)
        # Each step makes the state 1.3 times as large: gradients grow with the length.
        large = keras.initializers.Orthogonal(1.3)
        recurrent = keras.layers.SimpleRNN(32, "relu", recurrent_initializer=large)
        model = keras.Sequential(
            [keras.Input((steps, 2)), recurrent, keras.layers.Dense(1)]
        )
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
        # The monitor sees what backpropagation delivers, before clipping.
        monitor = GradientMonitor(on_problem="ignore")
        history = model.fit(
            x, y, epochs=epochs, callbacks=[monitor, *clippers], verbose=0
        )
        found[name] = history.history["loss"][-1]
        largest = np.nanmax(monitor.global_norms)
        print(f"{name}: loss {found[name]:.3f}, largest gradient {largest:.1f}")
    return found


if __name__ == "__main__":
    main()
