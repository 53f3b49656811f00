"""Searching with KerasTuner: over every component, and over how a model is trained.

`space` and `searched_optimizer` need no KerasTuner to be imported; `DeepHyperModel`
does: `pip install "keras-deeptools[tuner]"`.
"""

from keras_deeptools.tuning._ranges import FloatRange, IntRange, OneOf
from keras_deeptools.tuning._search_space import SearchSpace
from keras_deeptools.tuning._searched_optimizer import searched_optimizer
from keras_deeptools.tuning._space import space
from keras_deeptools.tuning._spaces import search_space, space_names

__all__ = [
    "DeepHyperModel",
    "FloatRange",
    "IntRange",
    "OneOf",
    "SearchSpace",
    "search_space",
    "searched_optimizer",
    "space",
    "space_names",
]


def __getattr__(name: str) -> object:
    """Imports what stands on KerasTuner when it is asked for."""
    if name != "DeepHyperModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from keras_deeptools.tuning._deep_hypermodel import DeepHyperModel
    except ModuleNotFoundError as error:
        if error.name not in ("keras_tuner", "tensorboard"):
            raise
        raise ImportError(
            f"keras_deeptools.tuning.{name} needs KerasTuner. Received: "
            f"{error}. Install it with `pip install 'keras-deeptools[tuner]'`."
        ) from error
    globals()[name] = DeepHyperModel
    return DeepHyperModel
