"""A deep sigmoid network and 100 labels: let its layers learn from the inputs first.

python examples/pretrain_layer_by_layer.py
"""

import keras
from sklearn.datasets import load_digits

from keras_deeptools.pretraining import pretrain_layerwise


def main(epochs: int = 100, depth: int = 4) -> dict[str, float]:
    """Returns the accuracies from labels alone, and after pretraining."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    found = {}
    for name in ("labels alone", "pretrained"):
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(100, "sigmoid") for _ in range(depth)]
        output = keras.layers.Dense(10, "softmax")
        model = keras.Sequential([keras.Input((64,)), *hidden, output])
        if name == "pretrained":
            print(
                pretrain_layerwise(
                    model, x[:1300], epochs=max(1, epochs // 4), seed=0, verbose=0
                )
            )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x[:100], y[:100], batch_size=20, epochs=epochs, verbose=0)
        found[name] = model.evaluate(x[1300:], y[1300:], verbose=0)[1]
        print(f"{name}: accuracy {found[name]:.3f}")
    return found


if __name__ == "__main__":
    main()
