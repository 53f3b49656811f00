"""Runs the recipes in `examples/`, and keeps what each prints and a small picture.

    KERAS_BACKEND=torch python benchmarks/recipe_gallery.py [names] [--folder docs]

Each recipe runs as its author would run it: those for one backend on that, the others
on torch, in one process for each backend. The output goes to `recipes/NAME.txt` in the
folder and the picture to `images/recipes/NAME.png`; the gallery of recipes in the
documentation shows both. Takes ten minutes for all.
"""

import argparse
import contextlib
import functools
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).parents[1] / "examples"
BACKENDS = {f"loop_in_{name}": name for name in ("tensorflow", "jax", "torch")}
ARGUMENTS = {"report_to_tensorboard": {"folder": "logs"}}
MOST_LINES = 40
Curves = dict[str, list[float]]


def run(name: str) -> tuple[str, Any, list[Curves], str]:
    """What a recipe prints and returns, its histories, and what it says it returns.

    A recipe without `fit` has the norms of its gradients as history.
    """
    import keras

    from keras_deeptools import GradientMonitor

    histories: list[Curves] = []
    keras.backend.clear_session()
    fit, make = keras.Model.fit, GradientMonitor.__init__
    monitors: list[GradientMonitor] = []

    @functools.wraps(fit)
    def recorded(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
        history = fit(self, *args, **kwargs)
        histories.append(history.history)
        return history

    def kept(self: GradientMonitor, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        monitors.append(self)

    keras.Model.fit, GradientMonitor.__init__ = recorded, kept
    keras.config.disable_interactive_logging()
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    printed = io.StringIO()
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            with contextlib.redirect_stdout(printed):
                result = module.main(**ARGUMENTS.get(name, {}))
    finally:
        keras.Model.fit, GradientMonitor.__init__ = fit, make
    if not histories:
        histories = [{"gradient norm": list(each.global_norms)} for each in monitors]
    returned = (module.main.__doc__ or "").partition("eturns ")[2].split(".")[0]
    text = re.sub(rf"{tempfile.gettempdir()}/\w+/", "", printed.getvalue())
    return text, result, histories, " ".join(returned.split())


def shown_lines(text: str) -> str:
    """At most `MOST_LINES` lines, without what progress bars print for each epoch."""
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line for line in lines if not re.match(r"Epoch \d|\d+/\d+ - ", line)]
    more = len(lines) - MOST_LINES
    if more > 0:
        lines = [*lines[:MOST_LINES], f"... and {more} more lines"]
    return "\n".join(lines).strip() + "\n"


def draw(result: Any, histories: list[Curves], returned: str) -> plt.Figure:
    """Images, bars or curves, as what the recipe found allows."""
    figure, ax = plt.subplots(figsize=(3.6, 2.2), dpi=100, layout="constrained")
    if isinstance(result, np.ndarray) and result.ndim == 2 and result.shape[1] == 64:
        tiles = result[:9].reshape(3, 3, 8, 8).transpose(0, 2, 1, 3).reshape(24, 24)
        ax.imshow(tiles, cmap="gray")
        ax.axis("off")
    elif is_numbers(result):
        names = list(result)[::-1]
        values = [float(result[each]) for each in names]
        bars = ax.barh(range(len(names)), values)
        ax.bar_label(bars, fmt="%.3g", fontsize=7, padding=2)
        ax.set_yticks(range(len(names)), [wrapped(each) for each in names], fontsize=7)
        ax.set_xticks([])
        ax.margins(x=0.15)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.set_title(wrapped(returned, 44), fontsize=8)
    else:
        curves = [result] if is_curves(result) else histories
        if isinstance(result, list) and not curves:
            curves = [{"loss": result}]
        draw_curves(ax, curves)
    return figure


def is_numbers(result: Any) -> bool:
    """Whether it is a mapping of two or more names to numbers."""
    return (
        isinstance(result, Mapping)
        and len(result) > 1
        and all(np.ndim(each) == 0 for each in result.values())
    )


def is_curves(result: Any) -> bool:
    """Whether it is a mapping of names to lists of numbers."""
    return isinstance(result, Mapping) and all(
        np.ndim(each) == 1 for each in result.values()
    )


def draw_curves(ax: Any, curves: list[Curves]) -> None:
    """The losses of the last three trainings, or their norms of gradients."""
    is_loss = any("loss" in each for history in curves for each in history)
    for number, history in enumerate(curves[-3:]):
        names = [each for each in history if "loss" in each or not is_loss][:3]
        for name in names:
            values = history[name]
            label = name if len(curves) == 1 else None
            style = "--" if name.startswith("val_") else "-"
            color = None if len(curves) == 1 else f"C{number}"
            epochs = range(1, len(values) + 1)
            ax.plot(epochs, values, style, color=color, label=label)
    ax.set_xlabel("epoch" if is_loss else "update", fontsize=8)
    if is_loss:
        ax.set_ylabel("loss", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if len(curves) == 1:
        ax.legend(fontsize=7)


def wrapped(name: str, width: int = 22) -> str:
    """A name in lines of at most `width` letters."""
    words, lines = str(name).replace("_", " ").split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def keep(name: str, folder: Path) -> None:
    """Runs a recipe in this process and writes its two files."""
    printed, result, histories, returned = run(name)
    texts, pictures = folder / "recipes", folder / "images" / "recipes"
    texts.mkdir(parents=True, exist_ok=True)
    pictures.mkdir(parents=True, exist_ok=True)
    (texts / f"{name}.txt").write_text(shown_lines(printed), encoding="utf-8")
    figure = draw(result, histories, returned)
    figure.savefig(pictures / f"{name}.png", metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Runs the named recipes, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    parser.add_argument("--here", action="store_true", help="in this process")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    names = arguments.names or sorted(path.stem for path in EXAMPLES.glob("*.py"))
    if arguments.here:
        for name in names:
            keep(name, folder)
            print(f"{name}: done", flush=True)
        return
    for backend in sorted(set(BACKENDS.values())):
        chosen = [name for name in names if BACKENDS.get(name, "torch") == backend]
        environment = os.environ | {"KERAS_BACKEND": backend}
        command = [sys.executable, __file__, *chosen, "--here", "--folder", str(folder)]
        if chosen:
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
