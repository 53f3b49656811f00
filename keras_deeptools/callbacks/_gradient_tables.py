"""Bringing the statistics of several optimizers, variables and layers together."""

import numpy as np

from keras_deeptools.callbacks._layer_selection import Held
from keras_deeptools.statistics._gradient_rows import GradientVariable

Tables = dict[str, np.ndarray]


def described(held: list[Held]) -> list[GradientVariable]:
    """What the rules of detection need to know of each variable.

    Names that occur twice (in two nested models, say) are told apart by a number.
    """
    layers: dict[tuple[str, int], str] = {}
    paths: dict[str, int] = {}
    names: dict[str, int] = {}
    found = []
    for item in held:
        path = item.variable.path
        paths[path] = paths.get(path, 0) + 1
        if paths[path] > 1:
            path = f"{path}#{paths[path]}"
        key = (item.group, id(item.layer))
        if key not in layers:
            names[item.group] = names.get(item.group, 0) + 1
            again = f"#{names[item.group]}" if names[item.group] > 1 else ""
            layers[key] = item.group + again
        shape = tuple(item.variable.shape)
        found.append(GradientVariable(path, layers[key], item.role, shape))
    return found


def joined(
    parts: list[tuple[np.ndarray, Tables, list[int]]], width: int
) -> tuple[np.ndarray, Tables]:
    """One table of all variables, out of a table for each optimizer.

    Args:
        parts: For each optimizer its steps, its tables and the columns they go to.
        width: Int. Number of columns.

    Returns:
        Tuple of steps and tables. Rows are matched by their steps; where an optimizer
        has none, they hold NaN.
    """
    steps = parts[0][0]
    if any(len(s) != len(steps) for s, _, _ in parts):
        steps = np.unique(np.concatenate([s for s, _, _ in parts]))
    tables = {}
    for name in parts[0][1]:
        table = np.full((len(steps), width), np.nan, "float32")
        for own, blocks, columns in parts:
            rows = np.arange(len(steps))
            if len(own) != len(steps):
                rows = np.searchsorted(steps, own)
            table[np.ix_(rows, np.array(columns))] = blocks[name]
        tables[name] = table
    return steps, tables


def by_layer(tables: Tables, variables: list[GradientVariable]) -> Tables:
    """The same statistics for layers, each taken as one long vector."""
    layers = list(dict.fromkeys(variable.layer for variable in variables))
    grouped: dict[str, list[np.ndarray]] = {name: [] for name in tables}
    for layer in layers:
        columns = [i for i, v in enumerate(variables) if v.layer == layer]
        sizes = np.array([variables[i].size for i in columns], "float64")
        known = ~np.isnan(tables["nonfinite"][:, columns])
        for name, table in tables.items():
            grouped[name].append(_together(name, table[:, columns], sizes, known))
    return {name: np.stack(c, axis=1) for name, c in grouped.items()}


def _together(
    name: str, values: np.ndarray, sizes: np.ndarray, known: np.ndarray
) -> np.ndarray:
    # Where there is no gradient the NaN is passed over; one that was computed stays.
    filled = np.where(known, values.astype("float64"), 0)
    if name == "max_abs":
        result = filled.max(axis=1)
    elif name == "zero_fraction":
        total = (known * sizes).sum(axis=1)
        result = (filled * sizes).sum(axis=1) / np.maximum(total, 1)
    elif name == "nonfinite":
        result = filled.sum(axis=1)
    else:
        result = np.sqrt(np.square(filled).sum(axis=1))
    return np.where(known.any(axis=1), result, np.nan).astype("float32")
