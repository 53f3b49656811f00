"""The pictures of the demonstration."""

import pathlib
from typing import Any

import numpy as np


def draw(
    folder: pathlib.Path, before: Any, after: Any, found: Any, one_cycle: Any
) -> None:
    """Writes one picture for each part of the story, and one of the whole."""
    from matplotlib.figure import Figure

    before.monitor.plot(str(folder / "gradients_before.png"))
    after.monitor.plot(str(folder / "gradients_after.png"))

    figure = Figure((6, 4), layout="constrained")
    found.plot(ax=figure.subplots())
    figure.savefig(folder / "range_test.png", dpi=120)

    figure = Figure((6, 4), layout="constrained")
    one_cycle.plot(ax=figure.subplots())
    figure.savefig(folder / "one_cycle.png", dpi=120)

    figure = Figure((11, 6.5), layout="constrained")
    flow, rate, cycle, learning = figure.subplots(2, 2).ravel()
    _gradient_flow(flow, before, after)
    found.plot(ax=rate)
    rate.set_title("the range test finds a rate")
    one_cycle.plot(ax=cycle)
    cycle.set_title("1cycle: rate up and down, momentum down and up")
    _learning_curves(learning, before, after)
    figure.savefig(folder / "demo.png", dpi=120)


def _gradient_flow(ax: Any, before: Any, after: Any) -> None:
    for run, color in ((before, "C3"), (after, "C0")):
        names = run.monitor.variables
        kernels = [i for i, name in enumerate(names) if name.endswith("kernel")]
        norms = np.median(run.monitor.history["norm"][:, kernels], axis=0)
        layers = np.arange(len(norms)) + 1
        ax.semilogy(layers, norms, "o-", color=color, label=run.title)
    ax.legend(loc="lower right")
    ax.set_xlabel("layer")
    ax.set_ylabel("gradient norm (median over updates)")
    ax.set_title("gradients vanish, and no longer do")


def _learning_curves(ax: Any, before: Any, after: Any) -> None:
    for run, color in ((before, "C3"), (after, "C0")):
        accuracy = run.history["val_accuracy"]
        epochs = np.arange(len(accuracy)) + 1
        ax.plot(epochs, accuracy, "o-", color=color, label=run.title)
    ax.legend(loc="center right")
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation accuracy")
    ax.set_ylim(0, 1.08)
    ax.set_title("what they learn")
