"""All that was recorded in a run, on the host, in bounded memory."""

from typing import Any

import numpy as np

from keras_deeptools.callbacks._gradient_record import GradientRecord
from keras_deeptools.callbacks._gradient_tables import (
    Tables,
    by_layer,
    described,
    joined,
)
from keras_deeptools.callbacks._layer_selection import Held
from keras_deeptools.callbacks._tensorboard import EventFile
from keras_deeptools.statistics import DecimatedRows
from keras_deeptools.statistics._gradient_rows import GradientRows

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
        """The same record with columns for more variables, NaN until now.

        Args:
            held: List of `Held`, those that are watched already among them.
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
        """Reads what is new from the device, and keeps it."""
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
            tables = tables | {"update_ratio": tables["change"] / some}
        blocks = [tables[name] for name in self.names]
        rows = np.concatenate([*blocks, norms[:, None]], axis=1)
        self._rows.append(steps, rows)
        if self.board is not None:
            self._unwritten.append((steps, rows))

    def skipped(self, records: list[GradientRecord]) -> int:
        """Number of skipped updates, as the optimizers count them or last counted."""
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
        """Steps and rows; of optimizers that make more updates than others, in order.

        Their rows of one step may have been read in different epochs.
        """
        steps, rows = self._rows.steps, self._rows.rows
        if (np.diff(steps) > 0).all():
            return steps, rows
        known = ~np.isnan(self._split(rows)["nonfinite"])
        together, places = np.unique(steps, return_inverse=True)
        once = np.zeros((len(together), known.shape[1]), "int64")
        np.add.at(once, places, known)
        if (once > 1).any():
            # One optimizer that was set back, as by loading an earlier file.
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
        """Writes medians and histograms of what came since the last call."""
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
        """Ends the file of events."""
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
