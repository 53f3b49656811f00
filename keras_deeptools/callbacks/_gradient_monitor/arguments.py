"""The arguments of `GradientMonitor`, checked before anything begins."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from keras_deeptools import _arguments
from keras_deeptools._arguments import checked_option, message
from keras_deeptools.callbacks._gradient_monitor.record import STATISTICS
from keras_deeptools.statistics import GradientThresholds

OWNER = "GradientMonitor"
ACTIONS = ("ignore", "warn", "stop", "raise")
GROUPS = ("variable", "layer")
THRESHOLDS = tuple(asdict(GradientThresholds()))


def checked_statistics(statistics: str | Iterable[str]) -> tuple[str, ...]:
    """The names, in the order of the package."""
    names = (statistics,) if isinstance(statistics, str) else statistics
    if not isinstance(names, (list, tuple, set, frozenset)) or not names:
        rule = "a non-empty sequence of names"
        remedy = f"Choose from {list(STATISTICS)}."
        raise TypeError(message(OWNER, "statistics", rule, statistics, remedy))
    unknown = [name for name in names if name not in STATISTICS]
    if unknown:
        raise ValueError(
            f"{OWNER}: `statistics` must be names of known statistics. Received: "
            f"{unknown[0]!r} in statistics={statistics!r}. "
            f"Choose from {list(STATISTICS)}."
        )
    return tuple(name for name in STATISTICS if name in names)


def checked_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """`value`, if it is one of `choices`."""
    return checked_option(OWNER, name, value, choices)


def checked_count(name: str, value: Any, least: int, optional: bool = False) -> Any:
    """`value`, if it is an int of at least `least`, or None where that is allowed."""
    if optional and value is None:
        return None
    rule = f"an int >= {least}" + (", or None" if optional else "")
    return _arguments.checked_count(OWNER, name, value, least, rule=rule)


def checked_log_dir(log_dir: Any) -> str | None:
    """`log_dir` as a string, or None."""
    if log_dir is None:
        return None
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        rule = "the path of a folder, or None"
        raise TypeError(message(OWNER, "log_dir", rule, log_dir))
    return os.fspath(log_dir)


def checked_thresholds(thresholds: Any) -> GradientThresholds:
    """`GradientThresholds`, made of a dict where one is given."""
    if thresholds is None:
        return GradientThresholds()
    if isinstance(thresholds, GradientThresholds):
        return thresholds
    if not isinstance(thresholds, dict):
        rule = "a GradientThresholds or a dict"
        raise TypeError(message(OWNER, "thresholds", rule, thresholds))
    unknown = [name for name in thresholds if name not in THRESHOLDS]
    if unknown:
        raise ValueError(
            f"{OWNER}: `thresholds` must have known names. Received: {unknown[0]!r} in "
            f"thresholds={thresholds!r}. Choose from {list(THRESHOLDS)}."
        )
    return GradientThresholds(**thresholds)
