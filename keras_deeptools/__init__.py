"""Tools that make training deep networks with Keras 3 work.

`callbacks` has what users add to `fit`, and `optimizers` what they compile with.
`layers` and `initializers` are the parts of models and their initial weights, `losses`
and `regularizers` what they minimize.
`diagnosis` finds out what is wrong with a training run, and `uncertainty` measures how
sure a model is. `schedules` are hyperparameters over the steps, and `statistics` are
the numbers by which callbacks judge. `transfer` and `pretraining` help when there are
few labels, `tuning` searches for hyperparameters, and `report` writes pages. `engine`
takes part in an optimizer's updates and runs models.

The names that are used most are here too. They and the modules are imported when they
are first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_deeptools.callbacks import (
        GradientMonitor,
        MaxNormEnforcer,
        OneCycleScheduler,
        WeightAveraging,
        find_learning_rate,
    )
    from keras_deeptools.diagnosis import audit, diagnose, repair, signal_propagation
    from keras_deeptools.engine import attach
    from keras_deeptools.initializers import initialize
    from keras_deeptools.transfer import fine_tune
    from keras_deeptools.uncertainty import mc_predict

__version__ = "0.1.0"

__all__ = [
    "GradientMonitor",
    "MaxNormEnforcer",
    "OneCycleScheduler",
    "WeightAveraging",
    "attach",
    "audit",
    "diagnose",
    "find_learning_rate",
    "fine_tune",
    "initialize",
    "mc_predict",
    "repair",
    "signal_propagation",
]

_ROOM_OF = {
    "GradientMonitor": "callbacks",
    "MaxNormEnforcer": "callbacks",
    "OneCycleScheduler": "callbacks",
    "WeightAveraging": "callbacks",
    "attach": "engine",
    "audit": "diagnosis",
    "diagnose": "diagnosis",
    "find_learning_rate": "callbacks",
    "fine_tune": "transfer",
    "initialize": "initializers",
    "mc_predict": "uncertainty",
    "repair": "diagnosis",
    "signal_propagation": "diagnosis",
}
_ROOMS = (
    "callbacks",
    "diagnosis",
    "engine",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "pretraining",
    "regularizers",
    "report",
    "schedules",
    "statistics",
    "transfer",
    "tuning",
    "uncertainty",
)


def __getattr__(name: str) -> object:
    """Imports a module, or one of its names, when it is first used."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module(f"{__name__}.{_ROOM_OF[name]}")
    globals()[name] = found = getattr(room, name)
    return found


def __dir__() -> list[str]:
    """Lists the modules and the names that are used most, for completion."""
    return sorted({*globals(), *__all__, *_ROOMS})
