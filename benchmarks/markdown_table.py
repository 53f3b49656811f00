"""Tables of means and standard errors, for the scripts beside this file."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def standard_error(values: Any) -> float:
    """Of the mean; NaN for one value."""
    values = np.asarray(values, "float64")
    return values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan


def mean_and_error(values: Any, digits: int = 1, sign: str = "") -> str:
    """Mean and standard error; `sign="+"` writes the plus of a difference."""
    mean, error = np.mean(values), standard_error(values)
    return f"{mean:{sign}.{digits}f} ± {error:.{digits}f}"


def print_table(
    corner: str, columns: Iterable[Any], rows: Mapping[str, Iterable[str]]
) -> None:
    """Prints a table in Markdown, after an empty line.

    Args:
        corner: Str above the names of the rows. With a `|` in it, and in each of them,
            the names fill two columns.
        columns: What stands above the others.
        rows: Dict from a name to the texts of its row.
    """
    names = [*corner.split(" | "), *(str(column) for column in columns)]
    lines = [names, ["---"] * len(names)]
    lines += [[name, *texts] for name, texts in rows.items()]
    print()
    for line in lines:
        print("| " + " | ".join(line) + " |")
