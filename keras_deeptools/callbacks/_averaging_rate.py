"""How much the newest weights count in a moving average."""

from typing import Any

from keras import ops


def averaging_rate(count: Any, decay: float | None, warmup: float | None) -> Any:
    """The part of the newest of `count` weights in their average.

    Args:
        count: Int or int tensor >= 1.
        decay: Float in [0, 1), of an exponential average; None for the plain mean.
        warmup: Float >= 0 or None. Until the decay is reached, the average is one with
            polynomial decay of this power; None: the decay holds from the second
            weights on.

    Returns:
        Float or float tensor in (0, 1].
    """
    known = isinstance(count, int)
    if decay is not None and warmup is None:
        if known:
            return 1.0 if count == 1 else 1.0 - decay
        return ops.where(ops.equal(count, 1), 1.0, 1.0 - decay)
    power = 0.0 if decay is None or warmup is None else float(warmup)
    least = 0.0 if decay is None else 1.0 - decay
    if known:
        return max((power + 1.0) / (count + power), least)
    return ops.maximum((power + 1.0) / (ops.cast(count, "float32") + power), least)
