"""A search that cannot go on, however often its trials are tried."""

import contextlib
from collections.abc import Iterator

import keras_tuner

from keras_deeptools.engine import SeveralReplicasError


@contextlib.contextmanager
def ending_the_search_of_several_replicas() -> Iterator[None]:
    """Ends a search whose trials cannot have what they chose on several replicas.

    Every trial that chooses it would fail in the same way, the others would not.
    """
    try:
        yield
    except SeveralReplicasError as error:
        raise keras_tuner.errors.FatalValueError(
            f"{error} Or leave what joins the optimizer's update out of the search: of "
            'DeepHyperModel\'s `parts` "learning_rate", "one_cycle", "max_norm", '
            '"clipping" and "weight_averaging".'
        ) from error
