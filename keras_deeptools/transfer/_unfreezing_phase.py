"""What trained during one part of a `fit` that unfreezes gradually."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UnfreezingPhase:
    """A part of a `fit` in which the same layer groups train.

    Made by `GradualUnfreezing`.

    Attributes:
        epoch: Int, the first epoch of the phase, from 0.
        update: Int, how many updates the optimizer had made when it began.
        group: Str, name of the first group that trains, with all after it.
        num_groups: Int, how many groups train.
        num_parameters: Int, how many weights they have that training changes.

    Example:

    >>> from keras_deeptools.transfer import UnfreezingPhase
    >>> print(UnfreezingPhase(3, 120, "block5", 2, 1_500_000))
    from epoch 3, update 120: 2 groups train, from block5 on (1,500,000 parameters)
    """

    epoch: int
    update: int
    group: str
    num_groups: int
    num_parameters: int

    def __str__(self) -> str:
        plural = self.num_groups != 1
        trained = f"{self.num_groups} group{'s' * plural} train{'s' * (not plural)}"
        return (
            f"from epoch {self.epoch}, update {self.update}: {trained}, from "
            f"{self.group} on ({self.num_parameters:,} parameters)"
        )
