"""A valid instance of every public class of `keras_deeptools.pretraining`."""

from collections.abc import Callable

from keras_deeptools import pretraining

LAYER = pretraining.PretrainedLayer("dense", (4,), (2,), "mean_squared_error", (0.5,))

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.pretraining.LayerwisePretraining": lambda: (
        pretraining.LayerwisePretraining((LAYER,), {"head": "last layer"}, 0)
    ),
    "keras_deeptools.pretraining.NTXent": lambda: pretraining.NTXent(0.5),
    "keras_deeptools.pretraining.PretrainedLayer": lambda: LAYER,
    "keras_deeptools.pretraining.Pretraining": lambda: pretraining.Pretraining(
        "masked autoencoder", ("a",), {}, {"loss": (0.5, 0.4)}, 0
    ),
}
