"""Arguments of gradual unfreezing, checked."""

import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any

from keras_deeptools._arguments import checked_count, message
from keras_deeptools.transfer._layer_group import LayerGroups


def checked_epochs(owner: str, epochs: Any) -> int | list[int] | None:
    """Return None, an int >= 1 or a list of increasing ones, or raise."""
    if epochs is None or not isinstance(epochs, (list, tuple)):
        return epochs if epochs is None else checked_count(owner, "epochs", epochs)
    rule = "an integer >= 1, or a list of increasing ones"
    if not all(isinstance(e, Integral) and not isinstance(e, bool) for e in epochs):
        raise TypeError(message(owner, "epochs", rule, epochs))
    listed = [int(epoch) for epoch in epochs]
    if not listed or listed[0] < 1 or listed != sorted(set(listed)):
        raise ValueError(message(owner, "epochs", rule, epochs))
    return listed


def checked_count_or_none(owner: str, argument: str, value: Any) -> int | None:
    """Return None, or an int >= 1, or raise."""
    return None if value is None else checked_count(owner, argument, value)


def checked_monitor(owner: str, monitor: Any) -> str:
    """Return a string, or raise."""
    if not isinstance(monitor, str):
        raise TypeError(message(owner, "monitor", "a string", monitor))
    return monitor


def checked_start(owner: str, start: Any) -> int | str:
    """Return an int or a string, or raise."""
    if isinstance(start, bool) or not isinstance(start, (int, str)):
        raise TypeError(message(owner, "start", "an int or a string", start))
    return start


def check_one_given(owner: str, epochs: Any, patience: Any) -> None:
    """Raises unless one of the two says when to unfreeze."""
    if (epochs is None) == (patience is None):
        rule = "given, or else `patience`, and not both"
        remedy = "For instance `epochs=[2, 4]`, or `patience=2`."
        raise ValueError(message(owner, "epochs", rule, epochs, remedy))


def check_enough(owner: str, epochs: Any, groups: LayerGroups, most: int) -> None:
    """Raises if more unfreezes are asked for than there are groups."""
    if isinstance(epochs, list) and len(epochs) > most:
        rule = f"at most {most}, one for each group before {groups[most].name!r}"
        remedy = f"The model has {len(groups)} groups: {', '.join(groups.names)}."
        raise ValueError(message(owner, "epochs", rule, epochs, remedy))


def check_same_groups(owner: str, groups: LayerGroups, names: list[str]) -> None:
    """Raises if a backup was made with other groups."""
    if names != groups.names:
        raise ValueError(
            f"{owner}: a `fit` must be resumed with the layer groups that it began "
            f"with. Received: {groups.names}, but the backup has {names}. Give the "
            "same model and `num_groups`, or delete the backup."
        )


def warn_not_logged(owner: str, monitor: str, epoch: int, logs: Iterable[str]) -> None:
    """Says that what is watched was not there in an epoch."""
    warnings.warn(
        f"{owner}: {monitor!r} is not in the logs of epoch {epoch}, which is not "
        "counted then. Validate in every epoch, or watch another of: "
        f"{', '.join(logs)}.",
        stacklevel=3,
    )
