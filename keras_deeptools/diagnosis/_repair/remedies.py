"""What `repair` changes for each kind of finding."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._audit_subject import DROPOUTS, activation_of
from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._repair.recipe import Recipe
from keras_deeptools.engine._keras_private.layers import flat_layers

RATES = {"SGD": 0.01, "Adadelta": 1.0, "Adagrad": 0.01, "Ftrl": 0.01, "Lion": 1e-4}
USUAL_RATE = 1e-3
"""Learning rates that Keras' optimizers begin with."""


@dataclass(frozen=True, eq=False)
class Case:
    """What a remedy reads."""

    facts: Facts
    finding: Finding
    recipe: Recipe

    @property
    def model(self) -> keras.Model:
        """The model that is not changed."""
        return self.facts.model

    @property
    def hidden(self) -> list[Any]:
        """Dense and convolution layers, but for those that give outputs."""
        ends = {each.end.name for each in self.facts.outputs}
        kernels = [
            layer
            for layer in flat_layers(self.model)
            if getattr(layer, "kernel_initializer", None) is not None
            and not isinstance(layer, keras.layers.RNN)
            and layer.name not in ends
        ]
        return kernels

    @property
    def last(self) -> Any:
        """The layer that gives the only output, or None."""
        only = self.facts.only
        found = [
            layer
            for layer in flat_layers(self.model)
            if only is not None and layer.name == only.end.name
        ]
        return found[0] if found else None


Remedy = Callable[[Case], Recipe | None]


def scale_inputs(case: Case) -> Recipe | None:
    """A layer in front that standardizes, or divides pixels by 255."""
    facts = case.facts
    if facts.rows is None or len(facts.inputs) != 1 or len(case.model.inputs) != 1:
        return None
    [numbers] = facts.inputs
    if numbers.least >= 0 and 64 < numbers.most <= 255 and numbers.rank > 1:
        return replace(case.recipe, front=(keras.layers.Rescaling(1 / 255),))
    [array] = keras.tree.flatten(facts.rows.x)
    values = np.nan_to_num(np.asarray(array, "float32"))
    if numbers.rank > 1:
        std = max(float(values.std()), 1e-6)
        layer = keras.layers.Rescaling(1 / std, -float(values.mean()) / std)
    else:
        layer = keras.layers.Normalization(
            mean=values.mean(axis=0), variance=values.var(axis=0) + 1e-12
        )
    return replace(case.recipe, front=(layer,))


def drop_what_is_not_finite(case: Case) -> Recipe | None:
    """Training without the samples that hold NaN."""

    def finite(x: Any, y: Any) -> tuple[Any, Any]:
        arrays = [np.asarray(v) for v in keras.tree.flatten((x, y)) if v is not None]
        good = np.ones(len(arrays[0]), bool)
        for each in arrays:
            if each.dtype.kind == "f":
                good &= np.isfinite(each.reshape(len(each), -1)).all(axis=1)
        return keras.tree.map_structure(lambda v: np.asarray(v)[good], (x, y))

    return replace(
        case.recipe, data=finite, data_text="without samples that are not finite"
    )


def initialize(case: Case) -> Recipe | None:
    """Initial weights for the activations that there are, and biases of 0."""
    recipe = case.recipe
    for layer in case.hidden:
        name = activation_of(layer)
        chosen = {"selu": "lecun_normal", "tanh": "glorot_uniform"}.get(
            name or "", "he_normal"
        )
        changes: dict[str, Any] = {"kernel_initializer": chosen}
        if getattr(layer, "use_bias", False):
            changes["bias_initializer"] = "zeros"
        recipe = recipe.with_layer(layer.name, **changes)
    return recipe if recipe is not case.recipe else None


def rectify(case: Case) -> Recipe | None:
    """ReLU in hidden layers, with initial weights that suit it."""
    recipe = case.recipe
    for layer in case.hidden:
        if hasattr(layer, "activation"):
            recipe = recipe.with_layer(
                layer.name, activation="relu", kernel_initializer="he_normal"
            )
    return recipe if recipe is not case.recipe else None


def less_dropout(case: Case) -> Recipe | None:
    """A usual rate, and none on outputs."""
    recipe = case.recipe
    on_output = case.finding.kind == "dropout on the output"
    for layer in flat_layers(case.model):
        rate = getattr(layer, "rate", None)
        if isinstance(layer, DROPOUTS) and isinstance(rate, float):
            if on_output and layer.name == case.finding.where:
                recipe = recipe.with_layer(layer.name, rate=0.0)
            elif not on_output and rate >= 0.8:
                recipe = recipe.with_layer(layer.name, rate=0.25)
    return recipe if recipe is not case.recipe else None


def less_regularization(case: Case) -> Recipe | None:
    """No penalties."""
    recipe = case.recipe
    for layer in flat_layers(case.model):
        for key, value in (
            layer.get_config().items() if not isinstance(layer, keras.Model) else ()
        ):
            if key.endswith("regularizer") and value is not None:
                recipe = recipe.with_layer(layer.name, **{key: None})
    return recipe if recipe is not case.recipe else None


def usual_batches(case: Case) -> Recipe | None:
    """Batches of 32."""
    return case.recipe.with_fit(batch_size=32)


def shuffle(case: Case) -> Recipe | None:
    """Shuffled samples."""
    rows = case.facts.rows
    return case.recipe.with_fit(shuffle=True) if rows and rows.are_arrays else None


def unfreeze(case: Case) -> Recipe | None:
    """All layers train."""
    return replace(case.recipe, unfrozen=True)


def other_rate(case: Case) -> Recipe | None:
    """The learning rate that did best in the short trainings, or the usual one."""
    trial = case.facts.trial
    optimizer = case.model.optimizer
    config = optimizer.get_config()
    rate = config.get("learning_rate")
    if not isinstance(rate, (int, float)):
        return None
    usual = RATES.get(type(optimizer).__name__, USUAL_RATE)
    if trial is not None and rate > 0:
        wanted = (lambda f: f < 1) if "high" in case.finding.kind else (lambda f: f > 1)
        runs = {f: run for f, run in trial.by_factor.items() if wanted(f)}
        if runs:
            best = min(runs, key=lambda f: runs[f].end)
            if np.isfinite(runs[best].end):
                found = rate * best
                # At the end of the factors that were tried, better ones may follow.
                is_last = best in (max(trial.by_factor), min(trial.by_factor))
                if not is_last or (found > usual) == (best > 1):
                    return case.recipe.with_optimizer(learning_rate=float(found))
    return case.recipe.with_optimizer(learning_rate=float(usual))


def clip_as_usual(case: Case) -> Recipe | None:
    """Gradients clipped at a global norm of 1."""
    return case.recipe.with_optimizer(
        clipnorm=None, clipvalue=None, global_clipnorm=1.0
    )


def end_for_loss(case: Case) -> Recipe | None:
    """The last activation and the loss that the targets ask for."""
    only, last = case.facts.only, case.last
    if only is None or only.targets is None or last is None:
        return None
    targets, recipe = only.targets, case.recipe
    if not hasattr(last, "activation"):
        return None
    units = getattr(last, "units", None)
    if targets.kind in ("quantities", "unknown"):
        recipe = recipe.with_layer(last.name, activation="linear")
        return replace(recipe, loss="mse")
    if targets.kind == "one-hot":
        recipe = recipe.with_layer(last.name, activation="softmax")
        return replace(recipe, loss="categorical_crossentropy")
    if targets.kind == "multi-hot":
        recipe = recipe.with_layer(last.name, activation="sigmoid")
        return replace(recipe, loss="binary_crossentropy")
    low = targets.least
    if low != 0:
        recipe = replace(
            recipe,
            data=lambda x, y: (x, np.searchsorted(targets.classes, np.asarray(y))),
            data_text="labels numbered from 0",
        )
    if targets.num_classes == 2 and units == 1:
        recipe = recipe.with_layer(last.name, activation="sigmoid")
        return replace(recipe, loss="binary_crossentropy")
    count = max(targets.num_classes, int(targets.most - low) + 1)
    changes: dict[str, Any] = {"activation": "softmax"}
    if units is not None and units < count:
        changes["units"] = count
    recipe = recipe.with_layer(last.name, **changes)
    return replace(recipe, loss="sparse_categorical_crossentropy")


def scale_targets(case: Case) -> Recipe | None:
    """A layer after the last that brings outputs to the scale of the targets."""
    only = case.facts.only
    if only is None or only.targets is None:
        return None
    targets = only.targets
    back = keras.layers.Rescaling(float(targets.std) or 1.0, float(targets.mean))
    return replace(case.recipe, back=(back,))


def last_vector(case: Case) -> Recipe | None:
    """A recurrent layer that returns its last output only."""
    recurrent = [
        layer
        for layer in flat_layers(case.model)
        if isinstance(layer, keras.layers.RNN) and layer.return_sequences
    ]
    if not recurrent:
        return None
    return case.recipe.with_layer(recurrent[-1].name, return_sequences=False)


def weigh_classes(case: Case) -> Recipe | None:
    """Weights that let all classes count the same."""
    only = case.facts.only
    if only is None or only.targets is None or only.targets.kind == "one-hot":
        return None
    targets = only.targets
    total = float(targets.counts.sum())
    weights = {
        int(value): total / (len(targets.counts) * float(count))
        for value, count in zip(targets.classes, targets.counts, strict=True)
    }
    return case.recipe.with_fit(class_weight=weights)


def larger_vocabulary(case: Case) -> Recipe | None:
    """A row of the embedding for each id."""
    most = int(case.finding.evidence["most"])
    return case.recipe.with_layer(
        case.finding.where, input_dim=most + 1, embeddings_initializer="uniform"
    )


def mask_padding(case: Case) -> Recipe | None:
    """Zeros that a recurrent layer passes over."""
    return case.recipe.with_layer(case.finding.where, mask_zero=True)


ENDS = (
    "ReLU before a regression loss",
    "categorical crossentropy over one unit",
    "classification loss for quantities",
    "labels out of range",
    "logits with from_logits=False",
    "negative rates with a Poisson loss",
    "no probabilities",
    "regression loss for classes",
    "relu with from_logits=True",
    "sigmoid with categorical crossentropy",
    "sigmoid with from_logits=True",
    "softmax over one unit",
    "softmax with binary crossentropy",
    "softmax with from_logits=True",
    "tanh with from_logits=True",
    "targets out of reach",
)
"""Kinds that are mended by the last activation and the loss."""

REMEDIES: dict[str, Remedy] = {
    **dict.fromkeys(ENDS, end_for_loss),
    "BatchNormalization with tiny batches": usual_batches,
    "clipping stops learning": clip_as_usual,
    "dead units": initialize,
    "dropout on the output": less_dropout,
    "dropout rate too high": less_dropout,
    "everything is frozen": unfreeze,
    "exploding gradient": initialize,
    "frozen layers that were never trained": unfreeze,
    "ids outside the embedding": larger_vocabulary,
    "imbalanced classes": weigh_classes,
    "initial biases far from zero": initialize,
    "initial weights too large": initialize,
    "initial weights too small": initialize,
    "learning rate not positive": other_rate,
    "learning rate too high": other_rate,
    "learning rate too low": other_rate,
    "linear layers in a row": rectify,
    "no non-linearity": rectify,
    "non-finite inputs": drop_what_is_not_finite,
    "non-finite targets": drop_what_is_not_finite,
    "outputs of another shape than the targets": last_vector,
    "padding without mask": mask_padding,
    "regularization outweighs the loss": less_regularization,
    "saturated units": initialize,
    "sigmoid in hidden layers": rectify,
    "softmax between layers": rectify,
    "sorted samples": shuffle,
    "symmetric units": initialize,
    "uneven inputs": scale_inputs,
    "unscaled inputs": scale_inputs,
    "unscaled targets": scale_targets,
    "vanishing gradient": rectify,
}
"""From a kind of finding to what is changed for it."""
