"""Changes of how a model ends, and of its losses, for the targets that there are."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._repair.case import Case, Recipes
from keras_deeptools.diagnosis._repair.recipe import Recipe


def end_for_loss(case: Case) -> Recipes:
    """The last activation and the loss that the targets ask for."""
    found = case.output
    if found is None or found[1].targets is None:
        return []
    position, output = found
    last = _layer_called(case, output.end.name)
    recipe = _ending(case, last, position, output.targets)
    return [] if recipe is None else [recipe]


def _ending(case: Case, last: Any, position: int, targets: Any) -> Recipe | None:
    recipe = case.recipe
    units = getattr(last, "units", None)
    if targets.kind in ("quantities", "unknown"):
        recipe = _with_activation(recipe, last, "linear")
        return recipe.with_loss(position, "mse")
    if targets.kind == "one-hot":
        changes = (
            {} if units in (None, targets.shape[-1]) else {"units": targets.shape[-1]}
        )
        recipe = _with_activation(recipe, last, "softmax", **changes)
        return recipe.with_loss(position, "categorical_crossentropy")
    if targets.kind == "multi-hot":
        recipe = _with_activation(recipe, last, "sigmoid")
        return recipe.with_loss(position, "binary_crossentropy")
    if not targets.is_classes:
        return None
    low = targets.least
    if low != 0 or targets.most >= targets.num_classes + 1:
        if len(case.facts.outputs) > 1:
            return None
        recipe = replace(
            recipe,
            data=lambda x, y, w: (x, _numbered(y, targets.classes), w),
            data_text="labels numbered from 0",
        )
    if targets.num_classes == 2 and units == 1:
        recipe = _with_activation(recipe, last, "sigmoid")
        return recipe.with_loss(position, "binary_crossentropy")
    count = max(targets.num_classes, int(targets.most - low) + 1)
    changes = {"units": count} if units is not None and units < count else {}
    recipe = _with_activation(recipe, last, "softmax", **changes)
    return recipe.with_loss(position, "sparse_categorical_crossentropy")


def _numbered(y: Any, classes: np.ndarray) -> Any:
    return keras.tree.map_structure(
        lambda labels: np.searchsorted(classes, np.asarray(labels)), y
    )


def _with_activation(recipe: Recipe, last: Any, name: str, **changes: Any) -> Recipe:
    """Another activation in the last layer; without one that has any, as a layer."""
    if last is not None and hasattr(last, "activation"):
        return recipe.with_layer(last.name, activation=name, **changes)
    return recipe


def _layer_called(case: Case, name: str) -> Any:
    return next((layer for layer in case.layers if layer.name == name), None)


def scale_targets(case: Case) -> Recipes:
    """A layer after the last that brings outputs to the scale of the targets."""
    found = case.output
    if found is None or found[1].targets is None or len(case.facts.outputs) > 1:
        return []
    targets = found[1].targets
    back = keras.layers.Rescaling(float(targets.std) or 1.0, float(targets.mean))
    recipe = replace(case.recipe, back=(back,))
    if found[1].end.loss in ("meansquarederror", "mse"):
        # Errors are as large as before, and so are gradients but for one factor.
        return [replace(recipe, loss_weight=float(targets.std) ** -2)]
    return [recipe]


def number_text(case: Case) -> Recipes:
    """Numbers in the place of names of classes."""
    if len(case.facts.outputs) != 1:
        return []

    def numbered(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        labels = np.unique(np.asarray(y).reshape(len(y)), return_inverse=True)[1]
        return x, labels, weight

    return [replace(case.recipe, data=numbered, data_text="labels numbered from 0")]


def robust_loss(case: Case) -> Recipes:
    """A loss that grows with the distance of outliers, and not with its square."""
    found = case.output
    return [] if found is None else [case.recipe.with_loss(found[0], "huber")]
