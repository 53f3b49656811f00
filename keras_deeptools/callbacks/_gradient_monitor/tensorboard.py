"""Event files for TensorBoard, written without a framework."""

import itertools
import os
import socket
import time
from typing import Any

import numpy as np

_numbers = itertools.count()


class EventFile:
    """A new file of events in a folder.

    Args:
        log_dir: Str. The folder; it is made if it does not exist.

    Raises:
        ImportError: If tensorboard is not installed.
    """

    def __init__(self, log_dir: str) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise ImportError(
                "GradientMonitor: `log_dir` needs the package tensorboard, which is "
                f"not installed. Received: log_dir={log_dir!r}. Install it with "
                "`pip install tensorboard`, or leave `log_dir` out."
            ) from error
        self._event = event_pb2.Event
        self._summary = summary_pb2
        os.makedirs(log_dir, exist_ok=True)
        name = ".".join(
            [
                "events.out.tfevents",
                f"{int(time.time()):010d}",
                socket.gethostname(),
                str(os.getpid()),
                f"gradients{next(_numbers)}",
            ]
        )
        self.path = os.path.join(log_dir, name)
        self._records = RecordWriter(open(self.path, "wb"))
        self._write(file_version="brain.Event:2")

    def write(
        self, step: int, scalars: dict[str, float], histograms: dict[str, np.ndarray]
    ) -> None:
        """Adds one point to the curves of the given names.

        Args:
            step: Int. Position on the horizontal axis.
            scalars: Dict from name to number.
            histograms: Dict from name to the finite numbers to count; empty ones are
                left out.
        """
        values = [
            self._summary.Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
        ]
        values += [
            self._summary.Summary.Value(tag=tag, histo=self._histogram(numbers))
            for tag, numbers in histograms.items()
            if len(numbers)
        ]
        self._write(step=step, summary=self._summary.Summary(value=values))
        self._records.flush()

    def _histogram(self, numbers: np.ndarray) -> Any:
        numbers = numbers.astype("float64")
        counts, edges = np.histogram(numbers, bins=min(30, len(numbers)))
        return self._summary.HistogramProto(
            min=numbers.min(),
            max=numbers.max(),
            num=len(numbers),
            sum=numbers.sum(),
            sum_squares=np.square(numbers).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())

    def close(self) -> None:
        """Closes the file."""
        self._records.close()
