"""Search spaces for KerasTuner: every component with arguments from a search."""

from keras_deeptools.tuning._ranges import FloatRange, IntRange, OneOf
from keras_deeptools.tuning._search_space import SearchSpace
from keras_deeptools.tuning._space import space
from keras_deeptools.tuning._spaces import search_space, space_names

__all__ = [
    "FloatRange",
    "IntRange",
    "OneOf",
    "SearchSpace",
    "search_space",
    "space",
    "space_names",
]
