"""Where in a model a variable is being made."""

import re

from keras.src.backend.common.name_scope import current_path


def current_place() -> str:
    """The name of the layer that is making a variable, less a number at its end.

    What a session counts (`dense_7`) goes, so that the same code gives the same answer
    however many layers were made before; what layers call their parts (`query`, `key`)
    stays. An empty string outside of any layer.

    Returns:
        Str, such as `"dense"` or `"query"`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import current_place
    >>> with keras.name_scope("attention_3"), keras.name_scope("query"):
    ...     current_place()
    'query'
    >>> with keras.name_scope("dense_12"):
    ...     current_place()
    'dense'
    """
    return re.sub(r"_\d+$", "", current_path().rpartition("/")[2])
