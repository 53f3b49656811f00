"""A trial without a search, and a `fit` that trains nothing, to test what is around."""

from pathlib import Path
from types import SimpleNamespace

import keras
import keras_tuner

from keras_deeptools.tuning import SearchedTrial, fit_trial
from keras_deeptools.tuning._trials.searched_trial import project_records


class Tuner:
    """What `fit_trial` sees of a tuner."""

    def __init__(self, project: Path, objective: keras_tuner.Objective) -> None:
        self.project_dir = str(project)
        self.oracle = SimpleNamespace(objective=objective)

    def get_trial_dir(self, trial_id: str) -> str:
        folder = Path(self.project_dir) / f"trial_{trial_id}"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)


class TunerCallback(keras.callbacks.Callback):
    """As KerasTuner's: it holds the tuner and the trial."""

    def __init__(self, tuner: Tuner, trial_id: str) -> None:
        super().__init__()
        self.tuner = tuner
        self.trial = SimpleNamespace(trial_id=trial_id)


class BestEpoch(keras.callbacks.Callback):
    """As KerasTuner's: one for all executions of a trial."""

    def __init__(self, objective: keras_tuner.Objective) -> None:
        super().__init__()
        self.objective = objective
        self.best_value = 0.0


LOSS = keras_tuner.Objective("loss", "min")


class Trial:
    """A trial of the search in the folder `project`."""

    def __init__(
        self, trial_id: str = "0", objective: keras_tuner.Objective = LOSS
    ) -> None:
        self.tuner = Tuner(Path("project"), objective)
        self.trial_id = trial_id
        self.keeper = BestEpoch(objective)

    def run(
        self,
        losses: list[float],
        *callbacks: keras.callbacks.Callback,
        **kwargs: object,
    ) -> SearchedTrial:
        """Fits once more, with the given losses, and reads the record."""
        given = [*callbacks, TunerCallback(self.tuner, self.trial_id), self.keeper]
        options = {"epochs": 10} | kwargs
        fit_trial(scripted(losses), callbacks=given, **options)
        return self.record()

    def record(self) -> SearchedTrial:
        """Its last execution, as it was written down."""
        records = project_records(Path(self.tuner.project_dir))
        return [one for one in records if one.trial_id == self.trial_id][-1]


def scripted(losses: list[float], error: BaseException | None = None) -> object:
    """A `fit` that calls the hooks as Keras does, and then raises the error if any."""

    def fit(
        x: object = None,
        y: object = None,
        *,
        callbacks: list[keras.callbacks.Callback],
        epochs: int = 1,
        initial_epoch: int = 0,
    ) -> keras.callbacks.History:
        model = SimpleNamespace(
            stop_training=False, losses=[], loss="sparse_categorical_crossentropy"
        )
        history = keras.callbacks.History()
        callbacks = [history, *callbacks]
        for callback in callbacks:
            callback.set_params({"epochs": epochs, "steps": 1, "verbose": 0})
            callback.set_model(model)
            callback.on_train_begin()
        for epoch, loss in enumerate(losses, initial_epoch):
            logs = {"loss": loss}
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            for callback in callbacks:
                callback.on_train_batch_end(0, logs)
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        if error is not None:
            raise error
        for callback in callbacks:
            callback.on_train_end()
        return history

    return fit
