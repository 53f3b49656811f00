"""A deep network that does not learn, why, and the same one repaired."""

import dataclasses
import importlib.util
import pathlib
import textwrap
import time
from typing import Any

import keras
import numpy as np

from keras_deeptools._text_table import text_table
from keras_deeptools.callbacks import (
    GradientMonitor,
    MaxNormEnforcer,
    OneCycleScheduler,
    find_learning_rate,
)


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


DEPTH, WIDTH, EPOCHS, BATCH_SIZE = 12, 64, 8, 32


@dataclasses.dataclass
class Run:
    """One training: what was trained, what the monitor saw, how well it went."""

    title: str
    monitor: GradientMonitor
    history: dict[str, list[float]]
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of the validation images that are recognized at the end."""
        return self.history["val_accuracy"][-1]


def run_demo(output: str = "keras_deeptools_demo", seed: int = 0) -> bool:
    """Runs the demonstration and writes its pictures.

    Args:
        output: Str. Folder for the PNG files; it is made if it does not exist.
        seed: Int >= 0. For the split, the weights and the order of the data.

    Returns:
        Bool: whether the repaired network recognizes more images than the first one,
        and the monitor named the problem.

    Raises:
        ImportError: If scikit-learn or matplotlib are not installed.

    Example:

    >>> from keras_deeptools.demo import run_demo
    >>> callable(run_demo)
    True
    """
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    data = _digits(seed)
    _say(
        f"1. {DEPTH} hidden layers of {WIDTH} sigmoid units, on {len(data[0])} images "
        f"of handwritten digits ({keras.backend.backend()})"
    )
    broken = _network("sigmoid", "glorot_uniform", seed)
    before = _train("sigmoid, constant rate", broken, data, [])

    _say("2. What the gradient monitor found")
    for finding in before.monitor.findings:
        print(f"   {finding.kind}: {finding.where}")
    if before.monitor.findings:
        print(f"   for example: {before.monitor.findings[0]}")

    _say("3. The repair: SELU units with LeCun initialization; and a learning rate")
    repaired = _network("selu", "lecun_normal", seed)
    found = find_learning_rate(repaired, *data[:2], batch_size=BATCH_SIZE, verbose=0)
    low, high = found.interval
    print(f"   range test: {float(found):.2g} (between {low:.2g} and {high:.2g})")

    _say("4. The repaired network, with 1cycle up to that rate and a max-norm")
    one_cycle = OneCycleScheduler(found)
    extra = [one_cycle, MaxNormEnforcer(2.0)]
    after = _train("SELU, 1cycle, max-norm", repaired, data, extra)

    draw(folder, before, after, found, one_cycle)
    _say("5. Before and after")
    _table([before, after])
    print(f"\nPictures: {', '.join(sorted(p.name for p in folder.glob('*.png')))}")
    print(f"in {folder.resolve()}")
    vanished = any(f.kind == "vanishing" for f in before.monitor.findings)
    return vanished and after.accuracy > before.accuracy + 0.2


def _digits(seed: int) -> tuple[np.ndarray, ...]:
    for name in ("sklearn", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(
                f"demo: {name} is not installed. "
                'Install it with `pip install "keras-deeptools[demo]"`.'
            )
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype("float32") / 16, y[order]
    return x[:1347], y[:1347], x[1347:], y[1347:]


def _network(activation: str, initializer: str, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    hidden = [
        keras.layers.Dense(
            WIDTH, activation, kernel_initializer=initializer, name=f"hidden_{i + 1}"
        )
        for i in range(DEPTH)
    ]
    output = keras.layers.Dense(10, "softmax", name="output")
    model = keras.Sequential([keras.Input((64,)), *hidden, output])
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def _train(title: str, model: Any, data: tuple, callbacks: list) -> Run:
    monitor = GradientMonitor(on_problem="ignore")
    x, y, x_val, y_val = data
    start = time.perf_counter()
    history = model.fit(
        x,
        y,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        validation_data=(x_val, y_val),
        callbacks=[monitor, *callbacks],
        verbose=2,
    )
    return Run(title, monitor, history.history, time.perf_counter() - start)


def _table(runs: list[Run]) -> None:
    rows = []
    for run in runs:
        norms = np.median(run.monitor.history["norm"], axis=0)
        ends = [f"{norms[0]:.1e}", f"{norms[-2]:.1e}"]
        rows.append([run.title, *ends, f"{run.accuracy:.1%}", f"{run.seconds:.0f}"])
    norms_of = [f"gradient norm, {which} layer" for which in ("first", "last")]
    titles = ["", *norms_of, "accuracy", "s"]
    print(textwrap.indent(text_table(titles, rows), "   "))


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)
