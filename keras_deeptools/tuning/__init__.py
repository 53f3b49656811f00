"""Searching with KerasTuner: over every component, and over how a model is trained.

`space` and `searched_optimizer` need no KerasTuner to be imported; `DeepHyperModel`
does: `pip install "keras-deeptools[tuner]"`.
"""

from keras_deeptools._launcher import SearchRun, launch
from keras_deeptools.tuning._cnn_space import cnn_space
from keras_deeptools.tuning._hopeless_trial_stopper import HopelessTrialStopper
from keras_deeptools.tuning._importance import HyperparameterImportance
from keras_deeptools.tuning._mlp_space import mlp_space
from keras_deeptools.tuning._ranges import FloatRange, IntRange, OneOf
from keras_deeptools.tuning._residual_space import residual_space
from keras_deeptools.tuning._search_report import search_report
from keras_deeptools.tuning._search_result import SearchReport
from keras_deeptools.tuning._search_space import SearchSpace
from keras_deeptools.tuning._searched_activation import searched_activation
from keras_deeptools.tuning._searched_block import searched_block
from keras_deeptools.tuning._searched_optimizer import searched_optimizer
from keras_deeptools.tuning._searched_trial import SearchedTrial
from keras_deeptools.tuning._space import space
from keras_deeptools.tuning._spaces import search_space, space_names
from keras_deeptools.tuning._trial_record import TrialRecord
from keras_deeptools.tuning._trial_records import TrialRecords, trial_records
from keras_deeptools.tuning._watch_workers import watch_workers

__all__ = [
    "DeepHyperModel",
    "FloatRange",
    "HopelessTrialStopper",
    "HyperparameterImportance",
    "IntRange",
    "OneOf",
    "SearchReport",
    "SearchRun",
    "SearchSpace",
    "SearchedTrial",
    "TransferHyperModel",
    "TrialRecord",
    "TrialRecords",
    "cnn_space",
    "fit_trial",
    "launch",
    "mlp_space",
    "objective",
    "residual_space",
    "search_report",
    "search_space",
    "searched_activation",
    "searched_block",
    "searched_optimizer",
    "space",
    "space_names",
    "trial_records",
    "watch_workers",
]


# What stands on KerasTuner, by the file it is in.
_ON_KERAS_TUNER = {
    "DeepHyperModel": "_deep_hypermodel",
    "TransferHyperModel": "_transfer_hypermodel",
    "fit_trial": "_fit_trial",
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
