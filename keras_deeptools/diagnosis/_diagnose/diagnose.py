"""One call before training that says what is wrong, and what to change."""

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, checked_model, checked_verbose
from keras_deeptools.diagnosis._audit.audit import RULES as AUDIT_RULES
from keras_deeptools.diagnosis._diagnose import (
    rules_of_data,
    rules_of_fit,
    rules_of_layers,
    rules_of_start,
    rules_of_structure,
    rules_of_targets,
    rules_of_training,
)
from keras_deeptools.diagnosis._diagnose.diagnosis import Diagnosis
from keras_deeptools.diagnosis._diagnose.facts import Facts, FitSettings, learning
from keras_deeptools.diagnosis._diagnose.measure import OWNER, measure
from keras_deeptools.diagnosis._diagnose.plots import measurements_of
from keras_deeptools.diagnosis._diagnose.ranking import calibrated, ranked
from keras_deeptools.engine._building.first_call import reason_of

RULES = (
    *rules_of_data.RULES,
    *rules_of_fit.RULES,
    *rules_of_targets.RULES,
    *rules_of_structure.RULES,
    *rules_of_layers.RULES,
    *rules_of_start.RULES,
    *rules_of_training.RULES,
)
"""Every rule that reads facts."""

COVERED = {
    "nothing_trains",
    "outputs",
    "rate_not_positive",
    "scale_in_depth",
    "updates_out_of_scale",
}
"""Rules of the audit that rules of facts stand for, by name."""

CAUSE = "Exception encountered:"
"""What stands in Keras' errors before the reason."""

KNOWN = ("x", "y", "x_val", "y_val")


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    shuffle: bool = True,
    trial_steps: int = 40,
    verbose: str | int = 0,
) -> Diagnosis:
    """Explains why a model does not train, before it is trained.

    `diagnose` examines the data, the compiled model, signals and gradients before
    training, and short trainings. All of these are undone: weights, optimizer, metrics
    and random states are afterwards as they were before. Findings are ranked: causes
    come first, each with what follows from it.

    Args:
        model: `keras.Model`, compiled, as it would be trained by `fit`; built or not.
        x: Data as `fit` takes them: arrays, tensors, data frames, lists or dicts of
            them; or a `tf.data.Dataset`, `PyDataset`, torch `DataLoader` or generator.
            What is drawn from a generator is lost to it.
        y: Targets, if `x` is arrays.
        validation_data: As `fit` takes them, or None.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        batch_size: As in `fit`.
        epochs: Int or None, as planned for `fit`; None plans 1000 updates.
        shuffle: As in `fit`.
        trial_steps: Int >= 0. Updates of each short training; 0 makes none.
        verbose: 0 for nothing, 1 for a line for each step of the diagnosis.

    Returns:
        `Diagnosis` with `.findings`; print it.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If an option is out of range.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.diagnosis import diagnose
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax")])
    >>> model.compile("adam", "binary_crossentropy")
    >>> x = np.random.default_rng(0).normal(size=(256, 4))
    >>> diagnose(model, x, (x[:, 0] > 0).astype("float32")).kinds[0]
    'softmax over one unit'
    """
    checked_model(OWNER, model)
    checked_count(OWNER, "trial_steps", trial_steps, 0)
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if value is not None:
            checked_count(OWNER, name, value)
    checked_verbose(OWNER, verbose)
    facts = measure(
        model,
        x,
        y,
        FitSettings(batch_size, epochs, shuffle, class_weight),
        sample_weight=sample_weight,
        validation_data=validation_data,
        trial_steps=trial_steps,
        progress=_say if verbose else lambda text: None,
    )
    return Diagnosis(
        model.name,
        tuple(calibrated(ranked(findings_of(facts), facts))),
        learning(facts),
        _gaps(facts),
        measurements_of(facts),
    )


def findings_of(facts: Facts, rules: Sequence[Any] = RULES) -> list[Any]:
    """What rules find, and those of the audit, in no order."""
    found = [finding for rule in rules for finding in rule(facts)]
    for rule in AUDIT_RULES:
        if rule.__name__ not in COVERED:
            found += rule(facts.subject)
    return found


def _gaps(facts: Facts) -> tuple[str, ...]:
    """What could not be looked at."""
    gaps = [f"{name}: {reason}" for name, reason in facts.failures.items()]
    if not getattr(facts.model, "optimizer", None):
        gaps.append("The model is not compiled, so that no trial was made.")
    return tuple(gaps)


def _say(text: str) -> None:
    print(f"diagnose: {text}", flush=True)


def saved_model(path: str) -> keras.Model:
    """Loads a model without running code that is in the file.

    Args:
        path: Str, a file that ends in .keras: other formats of Keras can hold code.

    Raises:
        ValueError: If there is no such file, or it holds no model that can be loaded.
    """
    file = _checked_file("model", path, ".keras")
    if not zipfile.is_zipfile(file):
        raise ValueError(
            f"{OWNER}: `model` must be what `model.save` wrote to a .keras file. "
            f"Received: {path}, which is no zip file."
        )
    try:
        with warnings.catch_warnings():
            # Keras warns of the optimizer of a model that was never trained.
            warnings.simplefilter("ignore")
            return keras.saving.load_model(file, safe_mode=True)
    except Exception as error:
        reason = reason_of(ValueError(str(error).rpartition(CAUSE)[2]))
        raise ValueError(
            f"{OWNER}: {path} cannot be loaded: {reason} Layers of your own, and "
            "Lambda layers, need their code: call `diagnose` from Python."
        ) from error


def saved_arrays(path: str) -> dict[str, np.ndarray]:
    """Reads arrays of numbers by their names.

    Args:
        path: Str, a file that ends in .npz.

    Returns:
        Dict with `"x"`, and `"y"`, `"x_val"` and `"y_val"` where they are there.

    Raises:
        ValueError: If there is no such file, it cannot be read, it holds Python
            objects, it has no `x`, or names that mean nothing here.
    """
    file = _checked_file("--data", path, ".npz")
    try:
        # Pickled objects could run code.
        with np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except Exception as error:
        raise ValueError(
            f"{OWNER}: {path} cannot be read: {reason_of(error)}"
        ) from error
    unknown = sorted(set(arrays) - set(KNOWN))
    if "x" not in arrays or unknown:
        listed = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(
            f"{OWNER}: `--data` must hold an array `x`, and may hold `y`, `x_val` and "
            f"`y_val`. Received: {path}, with {listed}. "
            "Save it with `numpy.savez(path, x=x, y=y)`."
        )
    if "y_val" in arrays and "x_val" not in arrays:
        raise ValueError(f"{OWNER}: {path} has `y_val` and no `x_val`.")
    return arrays


def validation_of(arrays: dict[str, np.ndarray]) -> Any:
    """The validation data among them, or None.

    Args:
        arrays: What `saved_arrays` returned.
    """
    if "x_val" not in arrays:
        return None
    targets = [arrays["y_val"]] if "y_val" in arrays else []
    return (arrays["x_val"], *targets)


def _checked_file(argument: str, path: str, suffix: str) -> Path:
    file = Path(path)
    found = "is no file" if file.exists() else "does not exist"
    if file.is_file():
        if file.suffix.lower() == suffix:
            return file
        found = f"does not end in {suffix}"
    raise ValueError(
        f"{OWNER}: `{argument}` must be the path of a {suffix} file. "
        f"Received: {path}, which {found}."
    )
