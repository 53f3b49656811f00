"""A valid instance of every public class of `keras_deeptools.tuning`."""

from collections.abc import Callable

from contract_examples.model import small_model
from keras_deeptools import tuning


def hypermodel() -> tuning.DeepHyperModel:
    return tuning.DeepHyperModel(small_model(), max_epochs=3, parts=["optimizer"])


def transfer_hypermodel() -> tuning.TransferHyperModel:
    return tuning.TransferHyperModel(1, max_epochs=3, backbones=small_model())


EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.tuning.DeepHyperModel": hypermodel,
    "keras_deeptools.tuning.FloatRange": lambda: tuning.FloatRange(1e-3, 1.0, log=True),
    "keras_deeptools.tuning.HopelessTrialStopper": tuning.HopelessTrialStopper,
    "keras_deeptools.tuning.HyperparameterImportance": lambda: (
        tuning.HyperparameterImportance("units", 0.5, 0.2, 0.001, True, 20)
    ),
    "keras_deeptools.tuning.IntRange": lambda: tuning.IntRange(1, 8),
    "keras_deeptools.tuning.OneOf": lambda: tuning.OneOf(("relu", "selu")),
    "keras_deeptools.tuning.SearchReport": lambda: tuning.SearchReport(
        (tuning.SearchedTrial("0", 1, "completed", {"units": 3}, score=0.5),),
        "val_loss",
        maximize=False,
    ),
    "keras_deeptools.tuning.SearchRun": lambda: tuning.SearchRun(best=0.5),
    "keras_deeptools.tuning.SearchSpace": lambda: tuning.search_space("mc_dropout"),
    "keras_deeptools.tuning.SearchedTrial": lambda: tuning.SearchedTrial(
        "0", 1, "completed", {"units": 3}, score=0.5
    ),
    "keras_deeptools.tuning.TransferHyperModel": transfer_hypermodel,
}
