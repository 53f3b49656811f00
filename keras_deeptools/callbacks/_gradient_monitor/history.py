"""The full record of a run, on the host and in bounded memory."""

from typing import Any

import numpy as np

from keras_deeptools.callbacks._gradient_monitor.display import EventFile
from keras_deeptools.callbacks._gradient_monitor.record import GradientRecord
from keras_deeptools.callbacks._layer_selection import Held
from keras_deeptools.statistics import DecimatedRows
from keras_deeptools.statistics._gradient_rows import GradientRows, GradientVariable

Tables = dict[str, np.ndarray]


def described(held: list[Held]) -> list[GradientVariable]:
    """The properties of each variable that the detection rules use.

    Names that occur twice (in two nested models, for example) get a number each.
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
        Tuple of steps and tables. The tables are joined by step; where an optimizer has
        no record of a step, its columns hold NaN.
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
    # The NaN of a missing gradient is ignored; a NaN that was computed stays.
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


MAX_ROWS = 10_000
MAX_BYTES = 64 * 2**20


class GradientHistory:
    """The record of one run.

    Args:
        held: List of `Held`, all watched variables.
        statistics: Names of the statistics to show.
        grouped: Bool. Whether columns are layers.
        max_rows: Int or None.
    """

    def __init__(
        self,
        held: list[Held],
        statistics: tuple[str, ...],
        grouped: bool,
        max_rows: int | None,
    ) -> None:
        self.variables = described(held)
        self.statistics = statistics
        self.grouped = grouped
        self.names = [*statistics, "nonfinite"]
        key = "layer" if grouped else "path"
        self.columns = list(dict.fromkeys(getattr(v, key) for v in self.variables))
        self.lost = 0
        self._places = {id(item.variable): i for i, item in enumerate(held)}
        self.held = held
        self.lost_before = 0
        self._skipped = 0
        self.board: EventFile | None = None
        self._unwritten: list[tuple[np.ndarray, np.ndarray]] = []
        width = len(self.names) * len(self.columns) + 1
        if max_rows is None:
            max_rows = min(max(MAX_BYTES // (4 * width), 100), MAX_ROWS)
        self._rows = DecimatedRows(width, max_rows)

    def widened(self, held: list[Held]) -> "GradientHistory":
        """The same record with columns for more variables, which hold NaN so far.

        Args:
            held: List of `Held`; it contains those that are watched already.
        """
        self.write_board()
        grown = GradientHistory(held, self.statistics, self.grouped, 2)
        grown.lost_before, grown._skipped = self.lost_before, self._skipped
        grown.lost = self.lost
        grown.board, self.board = self.board, None
        names = {v.layer: v.layer for v in self.variables}
        if not self.grouped:
            moved = [grown._places[id(item.variable)] for item in self.held]
            names = {
                old.path: grown.variables[i].path
                for old, i in zip(self.variables, moved, strict=True)
            }
        columns = [grown.columns.index(names[column]) for column in self.columns]
        count = len(grown.columns)
        places = [i * count + c for i in range(len(self.names)) for c in columns]
        width = len(self.names) * count
        grown._rows = self._rows.widened(width + 1, [*places, width])
        return grown

    def columns_of(self, records: list[GradientRecord]) -> list[int]:
        """The places of the variables of some records among `variables`, in order."""
        held = [item for record in records for item in record.held]
        return sorted({self._places[id(item.variable)] for item in held})

    def take(self, records: list[GradientRecord]) -> GradientRows:
        """Reads new records from the device, and keeps them."""
        parts = []
        for record in records:
            columns = [self._places[id(item.variable)] for item in record.held]
            parts.append((*record.read(), columns))
        lost = sum(record.recorder.lost for record in records)
        self.lost = self.lost_before + lost
        self.skipped(records)
        steps, tables = joined(parts, len(self.variables))
        rows = GradientRows(
            self.variables,
            steps,
            tables["norm"],
            tables["nonfinite"],
            tables.get("change"),
            tables.get("weight"),
        )
        self._keep(steps, tables, rows.global_norms)
        return rows

    def _keep(self, steps: np.ndarray, tables: Tables, norms: np.ndarray) -> None:
        if not len(steps):
            return
        if self.grouped:
            tables = by_layer(tables, self.variables)
        if "change" in tables:
            some = np.where(tables["weight"] > 0, tables["weight"], np.nan)
            # After an explosion both may be infinite.
            with np.errstate(invalid="ignore"):
                tables = tables | {"update_ratio": tables["change"] / some}
        blocks = [tables[name] for name in self.names]
        rows = np.concatenate([*blocks, norms[:, None]], axis=1)
        self._rows.append(steps, rows)
        if self.board is not None:
            self._unwritten.append((steps, rows))

    def skipped(self, records: list[GradientRecord]) -> int:
        """Number of skipped updates, from the latest counts of the optimizers."""
        if records:
            self._skipped = max(
                self._skipped, sum(record.read_skipped() for record in records)
            )
        return self._skipped

    @property
    def steps(self) -> np.ndarray:
        """Int64 array `(n,)`."""
        return self._ordered()[0]

    @property
    def tables(self) -> Tables:
        """Dict from a statistic to a float32 array `(n, len(columns))`."""
        return self._split(self._ordered()[1])

    @property
    def global_norms(self) -> np.ndarray:
        """Float32 array `(n,)`."""
        return self._ordered()[1][:, -1]

    def _ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and their records, in order.

        If some optimizers make more updates than others, their records of one step may
        have been read in different epochs.
        """
        steps, rows = self._rows.steps, self._rows.rows
        if (np.diff(steps) > 0).all():
            return steps, rows
        known = ~np.isnan(self._split(rows)["nonfinite"])
        together, places = np.unique(steps, return_inverse=True)
        once = np.zeros((len(together), known.shape[1]), "int64")
        np.add.at(once, places, known)
        if (once > 1).any():
            # The optimizer's count was reset, for example by loading an earlier file.
            return steps, rows
        table = np.full((len(together), rows.shape[1]), np.nan, "float32")
        row, column = np.nonzero(np.tile(known, len(self.names)))
        table[places[row], column] = rows[row, column]
        squares = np.zeros(len(together))
        np.add.at(squares, places, np.square(rows[:, -1].astype("float64")))
        table[:, -1] = np.sqrt(squares)
        return together, table

    def _split(self, rows: np.ndarray) -> Tables:
        blocks = np.split(rows[:, :-1], len(self.names), axis=1)
        return dict(zip(self.names, blocks, strict=True))

    # TensorBoard

    def write_board(self) -> None:
        """Writes medians and histograms of the records since the last call."""
        if self.board is None or not self._unwritten:
            return
        steps, pieces = zip(*self._unwritten, strict=True)
        self._unwritten = []
        step, rows = int(steps[-1][-1]), np.concatenate(pieces)
        values: dict[str, Any] = {}
        for name, table in self._split(rows).items():
            for column, numbers in zip(self.columns, table.T, strict=True):
                if not np.isnan(numbers).all():
                    middle = float(np.nanmedian(numbers))
                    values[f"gradient_{name}/{column}"] = middle
        values["gradient_norm"] = float(rows[:, -1].mean())
        norms = self._split(rows)["norm"] if "norm" in self.names else rows[:, :0]
        histograms = {
            f"gradient_norms_of_updates/{column}": numbers[np.isfinite(numbers)]
            for column, numbers in zip(self.columns, norms.T, strict=False)
        }
        self.board.write(step, values, histograms)

    def close_board(self) -> None:
        """Closes the event file."""
        if self.board is not None:
            self.write_board()
            self.board.close()
            self.board = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the open file and the identities of variables."""
        hidden: dict[str, Any] = {
            "board": None,
            "_unwritten": [],
            "_places": {},
            "held": [],
        }
        return self.__dict__ | hidden
