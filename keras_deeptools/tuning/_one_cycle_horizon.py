"""One 1cycle over all rungs of a search."""

from typing import Any

from keras_deeptools.callbacks import OneCycleScheduler


class OneCycleOverHorizon(OneCycleScheduler):
    """1cycle over a fixed number of epochs, however few this `fit` trains.

    Hyperband trains a promoted model for more epochs than the rung before, each time
    with other `epochs`; the cycle must be the same in all rungs.

    Args:
        horizon: Int >= 1, epochs of the whole cycle.
        **arguments: As for `OneCycleScheduler`.
    """

    def __init__(self, horizon: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.horizon = horizon

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes what `fit` says of itself, with the horizon's epochs for its own."""
        super().set_params({**params, "epochs": self.horizon} if params else params)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"horizon": self.horizon}
