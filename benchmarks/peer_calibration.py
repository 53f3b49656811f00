"""Measures of calibration on the same predictions: values, differences, seconds.

20,000 rows of ten classes, labels drawn so that the predictions are too sure. A second
set is rounded to twentieths, so that confidences lie on the edges of bins, where
conventions differ.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from alternating import Timed, alternate
from markdown_table import print_table
from peer_packages import module, reason

from keras_deeptools.uncertainty import brier_score, expected_calibration_error

NUM_ROWS, NUM_CLASSES, NUM_BINS = 20_000, 10, 15
CONTROL = " again (control)"


@dataclass(frozen=True)
class Case:
    """One measure, as ours and as a peer computes it.

    Attributes:
        name: Str.
        peer: Str, key of `PEERS`.
        ours: Function of probabilities and labels.
        theirs: The same of theirs.
    """

    name: str
    peer: str
    ours: Callable[[np.ndarray, np.ndarray], float]
    theirs: Callable[[np.ndarray, np.ndarray], float]


def predictions(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is too sure, and labels."""
    random = np.random.default_rng(seed)
    logits = 2.5 * random.normal(size=(NUM_ROWS, NUM_CLASSES))
    labels = np.argmax(logits / 1.8 + random.gumbel(size=logits.shape), axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype("float32"), labels


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """Confidences in twentieths, the rest of the probability spread evenly."""
    found = np.zeros_like(probabilities)
    best = probabilities.argmax(axis=1)
    confidence = np.maximum(np.round(probabilities.max(axis=1) * 20), 3) / 20
    found[:] = ((1 - confidence) / (NUM_CLASSES - 1))[:, None]
    found[np.arange(len(found)), best] = confidence
    return found


def of_tensors(make: Callable[[], Any]) -> Callable[[np.ndarray, np.ndarray], float]:
    """A metric of torchmetrics' kind as a function of arrays."""
    import torch

    def compute(probabilities: np.ndarray, labels: np.ndarray) -> float:
        metric = make()
        metric.update(torch.as_tensor(probabilities), torch.as_tensor(labels))
        return float(metric.compute())

    return compute


def of_keras_proba(kind: str, **kwargs: Any) -> Callable:
    """A metric of keras_proba as a function of arrays."""

    def compute(probabilities: np.ndarray, labels: np.ndarray) -> float:
        metric = getattr(module("keras_proba.metrics"), kind)(**kwargs)
        metric.update_state(labels, probabilities)
        return float(metric.result())

    return compute


def ours(norm: str = "l1", binning: str = "equal_width") -> Callable:
    """`expected_calibration_error` with the options of a case."""
    return lambda p, y: expected_calibration_error(
        p, y, NUM_BINS, norm=norm, binning=binning
    )


def cases(here: list[str]) -> list[Case]:
    """What the peers that are here have in common with ours."""
    found = []
    if "torchmetrics" in here:
        kind = module("torchmetrics.classification").MulticlassCalibrationError
        for norm in ("l1", "l2", "max"):
            error = of_tensors(partial(kind, NUM_CLASSES, NUM_BINS, norm))
            found.append(Case(f"ECE, {norm}", "torchmetrics", ours(norm), error))
    if "torch-uncertainty" in here:
        metrics = module("torch_uncertainty.metrics.classification")
        adaptive = module(
            "torch_uncertainty.metrics.classification.calibration"
            ".adaptive_calibration_error"
        ).MulticlassAdaptiveCalibrationError
        found += [
            Case(
                "ECE, equal shares",
                "torch-uncertainty",
                ours(binning="adaptive"),
                of_tensors(lambda: adaptive(NUM_CLASSES, NUM_BINS)),
            ),
            Case(
                "Brier score",
                "torch-uncertainty",
                brier_score,
                of_tensors(lambda: metrics.BrierScore(NUM_CLASSES)),
            ),
        ]
    if "keras-proba" in here:
        error = of_keras_proba("ExpectedCalibrationError", num_bins=NUM_BINS)
        found += [
            Case("ECE, l1", "keras-proba", ours(), error),
            Case(
                "Brier score (theirs + 1)",
                "keras-proba",
                brier_score,
                lambda p, y: of_keras_proba("BrierScore")(p, y) + 1,
            ),
        ]
    return found


def report(here: list[str], rounds: int, quantile: float) -> dict:
    """Prints the table and returns the numbers."""
    probabilities, labels = predictions()
    edges = rounded(probabilities)

    def timed(compute: Callable) -> Timed:
        def run() -> tuple[float, float]:
            begun = time.perf_counter()
            compute(probabilities, labels)
            return time.perf_counter() - begun, 0.0

        return run

    lines, measured = {}, {}
    for case in cases(here):
        name = f"{case.name} | {case.peer}"
        ways = {"ours": timed(case.ours), f"ours{CONTROL}": timed(case.ours)}
        ways["theirs"] = timed(case.theirs)
        try:
            found = alternate(ways, rounds, quantile)
            if found.failed:
                raise found.failed["theirs"]
            values = [each(probabilities, labels) for each in (case.ours, case.theirs)]
            on_edges = [each(edges, labels) for each in (case.ours, case.theirs)]
        except Exception as error:  # of a package of others, whatever it is
            print(f"\nfailed: {name}: {reason(error)}")
            continue
        ratio = found.ratio("theirs", "ours")
        error_of_ratio = found.ratio_error("theirs", "ours")
        lines[name] = [
            f"{values[0]:.6f}",
            f"{values[1]:.6f}",
            f"{values[1] - values[0]:+.1e}",
            f"{on_edges[1] - on_edges[0]:+.1e}",
            f"{1e3 * found.low('ours'):.2f} ms",
            f"{found.ratio(f'ours{CONTROL}', 'ours'):.3f}",
            f"{ratio:.2f} ± {error_of_ratio:.2f}",
        ]
        measured[name] = {"values": values, "on edges": on_edges} | {
            kind: seconds.tolist() for kind, seconds in found.seconds.items()
        }
    columns = ["ours", "theirs", "difference", "on edges of bins", "ours takes"]
    columns += ["control", "theirs takes, over ours"]
    print_table("measure | peer", columns, lines)
    return measured
