"""A page about one training run."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_float, message
from keras_deeptools._files import checked_path
from keras_deeptools._finding import Finding
from keras_deeptools.report._charts import figure_elements, page_style
from keras_deeptools.report._markup import (
    Markup,
    charts,
    facts,
    folded,
    grid,
    joined,
    listing,
    paragraph,
)
from keras_deeptools.report._page import (
    RULE,
    Page,
    findings_element,
    findings_of,
    looks_for_findings,
    rendered,
    shows_itself,
)
from keras_deeptools.report._run_setup import compiled_with, duration, environment
from keras_deeptools.report._training_charts import (
    Run,
    epochs_table,
    hyperparameter_charts,
    hyperparameter_curves,
    is_gradient_monitor,
    learning_curves,
    run_of,
)

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def named(owner: str, monitors: Any) -> tuple[dict[str, Any], list[str]]:
    """Returns what can be shown, by section name, and the callbacks that cannot.

    Args:
        owner: Str. Who is named in errors.
        monitors: Objects, or a dict from names to them.
    """
    rule = f"a list of objects to show, or a dict from names to them: {RULE}"
    if isinstance(monitors, Mapping):
        pairs = [(str(name), one) for name, one in monitors.items()]
    elif isinstance(monitors, Iterable) and not isinstance(monitors, str):
        pairs = [("", one) for one in monitors]
    else:
        raise TypeError(message(owner, "monitors", rule, monitors))
    shown: dict[str, Any] = {}
    unseen = []
    for name, one in pairs:
        if isinstance(one, keras.callbacks.Callback) and not shows_itself(one):
            # If a callback keeps what it found, the page shows that.
            one = getattr(one, "result", None) or one
        if shows_itself(one):
            shown[_free(name or _title(one), shown)] = one
        elif isinstance(one, keras.callbacks.Callback):
            unseen.append(type(one).__name__)
        else:
            raise TypeError(message(owner, "monitors", rule, one))
    return shown, unseen


def is_scheduler(thing: Any) -> bool:
    """Returns whether it has recorded hyperparameters by update."""
    history, steps = getattr(thing, "history", None), getattr(thing, "steps", None)
    if not isinstance(history, dict) or not isinstance(steps, np.ndarray):
        return False
    return all(np.shape(values) == steps.shape for values in history.values())


def _title(one: Any) -> str:
    if is_gradient_monitor(one):
        return "Gradients"
    words = _WORDS.split(type(one).__name__.strip("_"))
    lower = [word if word.isupper() else word.lower() for word in words[1:]]
    return " ".join([words[0], *lower])


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """Returns the name, with a number if there is another one like it."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found


LATER = 3
"""Epochs after the best one from which on overfitting is reported."""

LOST = 0.1
"""Fraction of the validation loss's improvement that must be lost again."""


def run_findings(run: Run) -> list[Finding]:
    """Finds a loss that is not finite or does not fall, and overfitting.

    Args:
        run: `Run`.
    """
    if "loss" not in run.series:
        return []
    epochs, losses = run.series["loss"]
    broken = ~np.isfinite(losses)
    if broken.any():
        first = int(epochs[broken.argmax()])
        return [
            Finding(
                "non-finite loss",
                "loss",
                f"The loss is {losses[broken.argmax()]} from epoch {first} on.",
                "Lower the learning rate (`find_learning_rate`), clip gradients "
                "(`GradientClipper`), or look for values in the data that are not "
                "finite.",
                evidence={"loss": losses[broken.argmax()]},
                epoch=first,
            )
        ]
    if len(losses) >= LATER and losses.min() >= losses[0]:
        return [
            Finding(
                "no learning",
                "loss",
                f"The training loss was {losses[0]:.4g} after the first epoch and "
                f"never lower, in {len(losses)} epochs.",
                "Watch the gradients (`GradientMonitor`), run `diagnosis.audit`, and "
                "find a rate with `find_learning_rate`.",
                evidence={"first_loss": losses[0], "least_loss": losses.min()},
            )
        ]
    return _overfitting(run)


def _overfitting(run: Run) -> list[Finding]:
    if "val_loss" not in run.series:
        return []
    epochs, values = run.series["val_loss"]
    if not np.isfinite(values).all():
        return []
    best = int(values.argmin())
    lost, gained = values[-1] - values[best], values[0] - values[best]
    fell = (run.value("loss", int(epochs[-1])) or np.inf) < (
        run.value("loss", int(epochs[best])) or -np.inf
    )
    if len(values) - 1 - best < LATER or lost <= LOST * max(gained, 1e-12) or not fell:
        return []
    return [
        Finding(
            "overfitting",
            "val_loss",
            f"The validation loss rose from {values[best]:.4g} in epoch {epochs[best]} "
            f"to {values[-1]:.4g}, while the training loss went on falling.",
            "Keep the weights of the best epoch (`EarlyStopping` with "
            "`restore_best_weights`); regularize: dropout, `MaxNormEnforcer`, label "
            "smoothing; get or make more data.",
            severity="warning",
            evidence={
                "best_val_loss": values[best],
                "last_val_loss": values[-1],
                "most_lost_part": LOST,
            },
            code=f"keras.callbacks.EarlyStopping(patience={LATER}, "
            "restore_best_weights=True)",
            epoch=int(epochs[best]),
        )
    ]


OWNER = "training_report"


def training_report(
    history: Any,
    monitors: Iterable[Any] | Mapping[str, Any] = (),
    path: str | PathLike[str] = "training_report.html",
    model: keras.Model | None = None,
    title: str = "Training report",
    seconds: float | None = None,
) -> Path:
    """Writes one HTML page about a run: how it went, and what is wrong with it.

    The page shows learning curves with the best epoch, learning rate and momentum, what
    each monitor has recorded and found, the model and the environment. It is one file
    without scripts that loads nothing, so you can mail it, keep it beside the weights
    or read it on a phone.

    Args:
        history: What `fit` or `fine_tune` returned, or a dict from names of losses and
            metrics to lists with a number for each epoch.
        monitors: What else to show, in this order: `GradientMonitor` and other
            callbacks of the run, results such as those of `find_learning_rate`,
            `signal_propagation`, `audit`, `mc_predict`, `reliability_diagram`; any
            object with `plot()`, `table()` or `findings`. The keys of a dict name their
            sections. Callbacks that have nothing to show are listed.
        path: Str or path of a file that ends in .html. Missing folders are created; an
            existing file is replaced, completely or not at all.
        model: `keras.Model`, or None for the one that `history` knows, if it does.
        title: Str, not empty.
        seconds: Float >= 0 or None, the duration of training.

    Returns:
        The `pathlib.Path` of the file.

    Raises:
        TypeError: If `history` is not one, or one of `monitors` cannot be shown.
        ValueError: If `path` is a folder or does not end in .html, or `history` is
            empty.
        ImportError: If matplotlib is not installed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import GradientMonitor
    >>> from keras_deeptools.report import training_report
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x, y, monitor = np.ones((8, 2)), np.ones((8, 1)), GradientMonitor()
    >>> history = model.fit(x, y, epochs=2, callbacks=[monitor], verbose=0)
    >>> path = training_report(history, [monitor], "run.html", title="A first run")
    >>> path.name, "A first run" in path.read_text("utf-8")
    ('run.html', True)
    """
    file = checked_path(OWNER, path)
    run = run_of(OWNER, history)
    if seconds is not None:
        seconds = checked_float(OWNER, "seconds", seconds, at_least=0)
    shown, unseen = named(OWNER, monitors)
    model = _checked_model(history, model)
    page = Page(title, _lead(run))
    findings = {"": run_findings(run)}
    findings |= {name: findings_of(one) for name, one in shown.items()}
    page.add("At a glance", facts(_facts(run, findings, model, seconds)))
    if any(findings.values()) or any(map(looks_for_findings, shown.values())):
        page.add("Findings", _findings(findings))
    schedulers = [one for one in shown.values() if is_scheduler(one)]
    _add_curves(page, history, run, schedulers)
    for index, (name, one) in enumerate(shown.items()):
        if not is_scheduler(one):
            page.add(name, rendered(OWNER, f"m{index}", name, one, False))
    if model is not None:
        page.add("Model", model)
    page.add("Setup", _setup(history, run, model, unseen, seconds))
    return page.save(file)


def _checked_model(history: Any, model: Any) -> keras.Model | None:
    if model is None:
        model = getattr(history, "model", None)
        return model if isinstance(model, keras.Model) else None
    if not isinstance(model, keras.Model):
        raise TypeError(message(OWNER, "model", "a keras.Model or None", model))
    return model


def _lead(run: Run) -> str:
    count = len(run.epochs)
    epochs = f"{count} epoch{'s' * (count != 1)}."
    if run.best_epoch is None:
        return f"{epochs} {run.monitor} was never finite."
    return f"{epochs} The best is epoch {run.best_epoch}, by {run.monitor}."


def _facts(
    run: Run,
    findings: dict[str, list[Finding]],
    model: keras.Model | None,
    seconds: float | None,
) -> dict[str, str]:
    """Returns the numbers of the best epoch, if there are any, and sizes."""
    found = {"epochs": str(len(run.epochs))}
    if run.best_epoch is not None:
        found["best epoch"] = str(run.best_epoch)
    for name in run.metrics[:4]:
        key = f"val_{name}" if f"val_{name}" in run.series else name
        value = run.value(key, run.best_epoch)
        if value is not None:
            found[f"{key} there"] = f"{value:.4g}"
    found["findings"] = str(sum(map(len, findings.values())))
    if model is not None and model.built:
        found["weights"] = f"{model.count_params():,}"
    if seconds is not None:
        found["duration"] = duration(seconds)
    return found


def _findings(findings: dict[str, list[Finding]]) -> Markup:
    """Returns the findings of each source; a sentence if there is none."""
    pieces = [
        findings_element(replace(one, where=one.where or name) for one in found)
        for name, found in findings.items()
    ]
    return joined(pieces) or paragraph("Nothing was found.")


def _add_curves(page: Page, history: Any, run: Run, schedulers: list[Any]) -> None:
    """Adds learning curves, and curves of learning rates and momentum."""
    about = (
        "Training and validation over the epochs; all values stand in a table below."
    )
    with page_style(OWNER):
        figures = figure_elements(learning_curves(OWNER, run), "l", "Curve", about)
        curves = hyperparameter_curves(run, schedulers)
        about = "The value over the run."
        others = figure_elements(
            hyperparameter_charts(OWNER, curves), "h", "Hyperparameter", about
        )
    pieces = [charts(figures), folded("All epochs as a table", epochs_table(run))]
    if run.not_drawn:
        names = ", ".join(run.not_drawn)
        pieces.append(
            paragraph(f"Not one number an epoch, so left out: {names}.", "muted")
        )
    table = getattr(history, "table", None)
    if callable(table):
        pieces.append(listing(str(table()), "The run as a table"))
    page.add("Learning curves", *pieces)
    if others:
        norm = ", gradient norm" if "gradient_norm" in curves else ""
        page.add(f"Rates, momentum{norm}", charts(others))


def _setup(
    history: Any,
    run: Run,
    model: keras.Model | None,
    unseen: list[str],
    seconds: float | None,
) -> Markup:
    """Returns optimizer, loss, size of the run and versions."""
    rows = {} if model is None else compiled_with(model)
    params = getattr(history, "params", None) or {}
    if isinstance(params.get("steps"), int):
        rows["batches an epoch"] = str(params["steps"])
    if isinstance(params.get("epochs"), int):
        rows["epochs asked for"] = str(params["epochs"])
    if unseen:
        rows["other callbacks"] = ", ".join(unseen)
    rows |= environment(seconds)
    return grid("With what the run was made", ["what", "value"], rows.items())
