"""Freezing a model up to one of its layer groups."""

from collections.abc import Sequence

import keras

from keras_deeptools._arguments import checked_option, is_integer, message
from keras_deeptools.engine._graph.layers import listed
from keras_deeptools.engine._retraining.retrain import Trainability, leaves_of, retrain
from keras_deeptools.transfer._freezing.freeze import BATCH_NORM, leaf_states
from keras_deeptools.transfer._layer_groups.groups import (
    LayerGroup,
    LayerGroups,
    layer_groups,
)


def freeze_to(
    model: keras.Model,
    group: int | str | LayerGroup,
    *,
    num_groups: int | None = None,
    batch_norm: str = "train",
) -> None:
    """Freezes the layer groups before `group`, and trains it and those after it.

    Layers near the inputs are general and need little change; layers near the outputs
    are specific to the old task and need the most. `freeze_to(model, -1)` trains the
    head alone, `freeze_to(model, 0)` everything. The function is safe at any time, as
    `freeze` is: the optimizer and the compiled steps follow.

    Args:
        model: `keras.Model` with a graph, see `layer_groups`.
        group: The first group to train. Int, its number in `layer_groups(model,
            num_groups)`; negative numbers count from the end. Str, its name there. Or a
            `LayerGroup` of this model, from any number of groups.
        num_groups: Int >= 1 or None. As in `layer_groups`, for a number or name.
        batch_norm: What BatchNormalization layers do in the groups that train, as in
            `freeze`; `"frozen"` is usual for fine-tuning with small batches. It does
            not apply to the last group, the new head, in which they always train. In
            frozen groups they are frozen.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model has no such group or cannot be cut into groups, or as
            in `freeze`. In these cases nothing has been changed.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import freeze_to, layer_groups
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(4, name="first"),
    ...         keras.layers.Dense(3, name="second"),
    ...         keras.layers.Dense(2, name="head"),
    ...     ],
    ...     name="small",
    ... )
    >>> freeze_to(model, -2)
    >>> print(layer_groups(model))
    small: 3 layer groups, 23 of 43 parameters train.
    group      layers  parameters  trainable  state
    0  first        1          20          0  frozen
    1  second       1          15         15  trainable
    2  head         1           8          8  trainable

    Reference:
        Howard and Ruder, 2018, section 3.3. https://arxiv.org/abs/1801.06146
    """
    checked_option("freeze_to", "batch_norm", batch_norm, BATCH_NORM)
    if not isinstance(model, keras.Model):
        raise TypeError(message("freeze_to", "model", "a `keras.Model`", model))
    groups = layer_groups(model, None if isinstance(group, LayerGroup) else num_groups)
    before = _layers_before(groups, group)
    retrain(model, states_after(model, before, groups[-1], batch_norm), "freeze_to")


def states_after(
    model: keras.Model,
    before: Sequence[keras.Layer],
    head: LayerGroup,
    batch_norm: str,
) -> list[Trainability]:
    """States of all leaves of a model when its first layers are frozen.

    Args:
        model: `keras.Model`.
        before: `keras.Layer` objects to freeze.
        head: `LayerGroup`, the last one.
        batch_norm: As in `freeze_to`.
    """
    held = {id(leaf) for layer in before for leaf in leaves_of(layer)}
    last = {id(leaf) for layer in head.layers for leaf in leaves_of(layer)}
    states = []
    for leaf in leaves_of(model):
        if id(leaf) in held:
            states += leaf_states([leaf], False, "frozen")
        else:
            own = "train" if id(leaf) in last else batch_norm
            states += leaf_states([leaf], True, own)
    return states


def checked_position(
    owner: str, argument: str, groups: LayerGroups, group: int | str
) -> int:
    """The number of a group, counted from 0, or an error that lists those there are.

    Args:
        owner: Str. Who is named in errors.
        argument: Str. Which argument is named in errors.
        groups: `LayerGroups`.
        group: Int or str.
    """
    rule = "the number or name of a layer group"
    remedy = listed(f"{number} {name!r}" for number, name in enumerate(groups.names))
    if isinstance(group, str):
        if group in groups.names:
            return groups.names.index(group)
    elif not is_integer(group):
        raise TypeError(message(owner, argument, rule, group, remedy))
    elif -len(groups) <= group < len(groups):
        return int(group) % len(groups)
    raise ValueError(message(owner, argument, rule, group, remedy))


def _layers_before(
    groups: LayerGroups, group: int | str | LayerGroup
) -> list[keras.Layer]:
    layers = [layer for one in groups for layer in one.layers]
    if not isinstance(group, LayerGroup):
        position = checked_position("freeze_to", "group", groups, group)
        return [layer for one in groups.groups[:position] for layer in one.layers]
    for position, layer in enumerate(layers):
        if layer is group.layers[0]:
            return layers[:position]
    remedy = "Take it from `layer_groups` of this model."
    rule = "a layer group of the model"
    raise ValueError(message("freeze_to", "group", rule, group.name, remedy))
