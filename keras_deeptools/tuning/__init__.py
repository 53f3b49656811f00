"""Searching with KerasTuner: over every component, and over how a model is trained.

`searched` and `searched_optimizer` can be imported without KerasTuner; `DeepHyperModel`
needs it: `pip install "keras-deeptools[tuner]"`.
"""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools._distributed_search import SearchRun, launch_search
from keras_deeptools._distributed_search.join_search import join_search
from keras_deeptools.tuning._families.cnn_family import cnn_family
from keras_deeptools.tuning._families.mlp_family import mlp_family
from keras_deeptools.tuning._families.residual_family import residual_family
from keras_deeptools.tuning._families.searched_block import (
    searched_activation,
    searched_block,
)
from keras_deeptools.tuning._search_report.hyperparameter_importance import (
    HyperparameterImportance,
)
from keras_deeptools.tuning._search_report.search_report import (
    SearchReport,
    search_report,
)
from keras_deeptools.tuning._search_space.ranges import (
    FloatRange,
    IntRange,
    OneOf,
    SearchSpace,
)
from keras_deeptools.tuning._search_space.search_space import (
    search_space,
    searched,
    space_names,
)
from keras_deeptools.tuning._search_space.searched_optimizer import searched_optimizer
from keras_deeptools.tuning._trials.hopeless_trial_stopper import HopelessTrialStopper
from keras_deeptools.tuning._trials.searched_trial import SearchedTrial

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
    "cnn_family",
    "fit_trial",
    "join_search",
    "launch_search",
    "mlp_family",
    "objective",
    "residual_family",
    "search_report",
    "search_space",
    "searched",
    "searched_activation",
    "searched_block",
    "searched_optimizer",
    "space_names",
]

# What stands on KerasTuner, by the file it is in.
_ON_KERAS_TUNER = {
    "DeepHyperModel": "_hypermodel.deep_hypermodel",
    "TransferHyperModel": "_transfer.transfer_hypermodel",
    "fit_trial": "_trials.fit_trial",
    "objective": "_trials.objective",
}


def __getattr__(name: str) -> object:
    """Imports what stands on KerasTuner when it is asked for."""
    import importlib

    if name not in _ON_KERAS_TUNER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keras_deeptools.engine._backends.active import missing_for_keras_tuner

    missing = missing_for_keras_tuner()
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
