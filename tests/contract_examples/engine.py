"""A valid instance of every public class of `keras_deeptools.engine`."""

from collections.abc import Callable

from keras_deeptools import engine

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.engine.Feature": engine.Feature,
}

# Handles on something live, for which a copy, a pickle or a config has no meaning.
HANDLES = {
    "keras_deeptools.engine.Attachment",
    "keras_deeptools.engine.Capture",
    "keras_deeptools.engine.Captured",
    "keras_deeptools.engine.LayerCall",
    "keras_deeptools.engine.Leaf",
    "keras_deeptools.engine.RateMultipliers",
    "keras_deeptools.engine.Recorder",
    "keras_deeptools.engine.Snapshot",
}
