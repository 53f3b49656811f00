"""Changes for the data that there are: of inputs, of the last layer and of losses."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._repair.data import taken
from keras_deeptools.diagnosis._repair.recipe import Case, Recipe, Recipes


def scale_inputs(case: Case) -> Recipes:
    """Layers in front that standardize, or divide pixels by 255."""
    facts, recipe = case.facts, case.recipe
    if facts.rows is None:
        return []
    arrays = keras.tree.flatten(facts.rows.x)
    if len(arrays) != len(facts.inputs):
        return []
    for position, (array, numbers) in enumerate(zip(arrays, facts.inputs, strict=True)):
        is_ids = numbers.is_integer and _feeds_embedding(case, position)
        if is_ids or (len(arrays) > 1 and 0.03 < numbers.std < 10):
            continue
        before = recipe.front.get(position, ())
        recipe = recipe.with_front(position, _scaling(array, numbers), *before)
    return [recipe] if recipe is not case.recipe else []


def _scaling(array: Any, numbers: Any) -> Any:
    values = np.asarray(array, "float32")
    values = np.where(np.isfinite(values), values, np.nan)
    if numbers.least >= 0 and 64 < numbers.most <= 255 and numbers.rank > 1:
        return keras.layers.Rescaling(1 / 255)
    if numbers.least >= 0 and 64 < numbers.most <= 255 and numbers.is_integer:
        return keras.layers.Rescaling(1 / 255)
    if numbers.rank != 1 or _of_one_scale(numbers.feature_stds):
        std = max(float(np.nanstd(values)), 1e-6)
        return keras.layers.Rescaling(1 / std, -float(np.nanmean(values)) / std)
    # A feature that hardly varies may vary more in other samples.
    variance = np.nanvar(values, axis=0)
    return keras.layers.Normalization(
        mean=np.nanmean(values, axis=0), variance=np.maximum(variance, 1e-12)
    )


def _of_one_scale(stds: np.ndarray) -> bool:
    """Whether features vary alike, as those of flat images do but at the margins."""
    used = stds[stds > 0]
    many = len(stds) > 20 and (stds == 0).any()
    return many and used.size > 0 and used.max() < 30 * np.median(used)


def _feeds_embedding(case: Case, position: int) -> bool:
    tables = [
        layer for layer in case.layers if isinstance(layer, keras.layers.Embedding)
    ]
    return bool(tables) and case.facts.inputs[position].least >= 0


def fill_missing(case: Case) -> Recipes:
    """The mean in the place of NaN and infinity, also of inputs to predict from."""
    facts, recipe = case.facts, case.recipe
    if facts.rows is None:
        return []
    for position, array in enumerate(keras.tree.flatten(facts.rows.x)):
        values = np.asarray(array)
        if values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        before = recipe.front.get(position, ())
        if nan_to_num not in before:
            recipe = recipe.with_front(position, *before, nan_to_num)
    return [recipe] if recipe is not case.recipe else []


def nan_to_num(x: Any) -> Any:
    """0 where a number is NaN or infinite, by an operation that Keras saves."""
    return keras.ops.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


def drop_missing_targets(case: Case) -> Recipes:
    """Training without the samples whose target is not finite."""

    def finite(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        good: Any = True
        for each in keras.tree.flatten(y):
            values = np.asarray(each, "float64").reshape(len(each), -1)
            good = np.isfinite(values).all(axis=1) & good
        return taken((x, y, weight), good)

    return [
        replace(
            case.recipe,
            data=finite,
            data_text="without samples whose target is not finite",
        )
    ]


def shuffle(case: Case) -> Recipes:
    """Shuffled samples."""
    return [case.recipe.with_fit(shuffle=True)]


def no_weights(case: Case) -> Recipes:
    """All samples and classes count the same."""
    return [
        replace(
            case.recipe.with_fit(class_weight=None),
            data=lambda x, y, weight: (x, y, None),
            data_text="without weights of samples",
        )
    ]


def channels_last(case: Case) -> Recipes:
    """The channels moved behind height and width."""
    shape = case.model.inputs[0].shape[1:] if case.model.inputs else None
    if shape is None or len(shape) != 3:
        return []
    recipe = case.recipe.with_front(0, keras.layers.Permute((2, 3, 1)))
    return [replace(recipe, input_shape=(shape[1], shape[2], shape[0]))]


def weigh_classes(case: Case) -> Recipes:
    """Weights that let all classes count the same."""
    found = case.output
    if found is None or found[1].targets is None or len(case.facts.outputs) > 1:
        return []
    targets = found[1].targets
    total = float(targets.counts.sum())
    classes: Any = targets.classes
    if targets.kind == "one-hot":
        classes = range(len(targets.counts))
    weights = {
        int(value): total / (len(targets.counts) * float(max(count, 1)))
        for value, count in zip(classes, targets.counts, strict=True)
    }
    return [case.recipe.with_fit(class_weight=weights)]


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
