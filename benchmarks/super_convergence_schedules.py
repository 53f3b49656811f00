"""The schedules that super_convergence.py compares.

What falls until the end of training has an end of its own for every length:

- exponential: to a hundredth; piecewise constant: a tenth after 1/2 and a hundredth
  after 3/4, as for ResNets; cosine: half a wave, to 0
- 1cycle: `OneCycleScheduler`, momentum .95 to .85 and back, else all its defaults;
  1cycle, found: the same with the rate that `find_learning_rate` suggests

The others know no end, so one long run shows them at all lengths:

- constant; power: rate / (1 + rounds), see `rounds_of` in super_convergence.py;
  performance: halved when two epochs have not lowered the loss of 1,000 held-out images
"""

import keras

from keras_deeptools.callbacks import HyperparameterScheduler, OneCycleScheduler
from keras_deeptools.schedules import (
    Constant,
    Exponential,
    FlatCosine,
    InverseTimePower,
    PiecewiseConstant,
    Schedule,
)

ENDLESS = ("constant", "power", "performance")
TUNED = (*ENDLESS, "exponential", "piecewise constant", "cosine", "1cycle")
FOUND = "1cycle, found"
MOMENTUM = 0.9


def schedule(name: str, rate: float, updates: int, in_round: int) -> Schedule:
    """The learning rate as a function of the update.

    Args:
        name: Str, one of `TUNED`, but not "performance" or "1cycle".
        rate: Float > 0, the first.
        updates: Int, of the whole training.
        in_round: Int, updates of a round.
    """
    match name:
        case "power":
            return InverseTimePower(rate, in_round)
        case "exponential":
            return Exponential(rate, decay_rate=0.01, decay_steps=updates)
        case "piecewise constant":
            boundaries = [updates // 2, updates * 3 // 4]
            return PiecewiseConstant(boundaries, [rate, rate / 10, rate / 100])
        case "cosine":
            return FlatCosine(rate, updates, flat_fraction=0.0)
    return Constant(rate)


def callback(
    name: str, rate: float, updates: int, in_round: int
) -> keras.callbacks.Callback:
    """What makes `fit` follow a schedule; the arguments are those of `schedule`."""
    if name in ("1cycle", FOUND):
        return OneCycleScheduler(rate)
    if name == "performance":
        return keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2)
    rates = schedule(name, rate, updates, in_round)
    return HyperparameterScheduler({"learning_rate": rates})
