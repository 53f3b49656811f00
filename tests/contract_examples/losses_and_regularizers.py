"""A valid instance of every public class of `losses` and `regularizers`."""

from collections.abc import Callable

from keras_deeptools import losses, regularizers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.losses.SmoothedSparseCategoricalCrossentropy": lambda: (
        losses.SmoothedSparseCategoricalCrossentropy(0.2, True, ignore_class=-1)
    ),
    "keras_deeptools.regularizers.SoftOrthogonality": lambda: (
        regularizers.SoftOrthogonality(0.01, lengths=False)
    ),
}
