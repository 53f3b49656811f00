"""What other trials of a search came to, epoch by epoch."""

import math
from typing import Any

from keras_deeptools.tuning._trial_place import TrialPlace
from keras_deeptools.tuning._trial_record import TrialRecord, project_records


def curves_of_others(place: TrialPlace, initial_epoch: int) -> list[list[float]]:
    """The objective after each epoch of every completed trial but this.

    Args:
        place: `TrialPlace`.
        initial_epoch: Int >= 0. Trials that began at another epoch are left out.
    """
    return [
        _curve(record, place.objective)
        for record in project_records(place.directory.parent)
        if record.trial_id != place.trial_id
        and record.status == "completed"
        and record.initial_epoch == initial_epoch
    ]


def _curve(record: TrialRecord, objective: Any) -> list[float]:
    epochs = zip(*record.history.values(), strict=False)
    logs = [
        {
            name: value
            for name, value in zip(record.history, values, strict=True)
            if not math.isnan(value)
        }
        for values in epochs
    ]
    return [objective.get_value(one) for one in logs if objective.has_value(one)]
