"""A valid instance of every public class of `keras_deeptools.tuning`."""

from collections.abc import Callable

from keras_deeptools import tuning

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.tuning.FloatRange": lambda: tuning.FloatRange(1e-3, 1.0, log=True),
    "keras_deeptools.tuning.IntRange": lambda: tuning.IntRange(1, 8),
    "keras_deeptools.tuning.OneOf": lambda: tuning.OneOf(("relu", "selu")),
    "keras_deeptools.tuning.SearchSpace": lambda: tuning.search_space("mc_dropout"),
}
