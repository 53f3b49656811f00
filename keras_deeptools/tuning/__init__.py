"""Searching with KerasTuner: over every component, and over how a model is trained.

`space` and `searched_optimizer` need no KerasTuner to be imported; `DeepHyperModel`
does: `pip install "keras-deeptools[tuner]"`.
"""

from keras_deeptools.tuning._cnn_space import cnn_space
from keras_deeptools.tuning._hopeless_trial_stopper import HopelessTrialStopper
from keras_deeptools.tuning._mlp_space import mlp_space
from keras_deeptools.tuning._ranges import FloatRange, IntRange, OneOf
from keras_deeptools.tuning._residual_space import residual_space
from keras_deeptools.tuning._search_space import SearchSpace
from keras_deeptools.tuning._searched_activation import searched_activation
from keras_deeptools.tuning._searched_block import searched_block
from keras_deeptools.tuning._searched_optimizer import searched_optimizer
from keras_deeptools.tuning._space import space
from keras_deeptools.tuning._spaces import search_space, space_names
from keras_deeptools.tuning._trial_record import TrialRecord
from keras_deeptools.tuning._trial_records import TrialRecords, trial_records

__all__ = [
    "DeepHyperModel",
    "FloatRange",
    "HopelessTrialStopper",
    "IntRange",
    "OneOf",
    "SearchSpace",
    "TrialRecord",
    "TrialRecords",
    "cnn_space",
    "fit_trial",
    "mlp_space",
    "objective",
    "residual_space",
    "search_space",
    "searched_activation",
    "searched_block",
    "searched_optimizer",
    "space",
    "space_names",
    "trial_records",
]


# What stands on KerasTuner, by the file it is in.
_ON_KERAS_TUNER = {
    "DeepHyperModel": "_deep_hypermodel",
    "fit_trial": "_trial_run",
    "objective": "_objective",
}


def __getattr__(name: str) -> object:
    """Imports what stands on KerasTuner when it is asked for."""
    import importlib

    if name not in _ON_KERAS_TUNER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keras_deeptools.engine import missing_for_tuner

    missing = missing_for_tuner()
    if missing is None:
        try:
            module = importlib.import_module(f"{__name__}.{_ON_KERAS_TUNER[name]}")
        except ModuleNotFoundError as error:
            if error.name != "keras_tuner":
                raise
            missing = error.name
    if missing is not None:
        raise ImportError(
            f"keras_deeptools.tuning.{name} needs KerasTuner and what it imports. "
            f"Received: no package {missing}. Install it with "
            "`pip install 'keras-deeptools[tuner]'`."
        )
    globals()[name] = found = getattr(module, name)
    return found
