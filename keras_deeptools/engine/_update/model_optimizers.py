"""The optimizers that a model has, and the choice of some of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_deeptools.engine._backends.common import SUBMODULES, TRACKING, on_host
from keras_deeptools.engine._keras_private.layers import (
    LEADING_TO_LAYERS,
    TRAINABLE_STATE,
    direct_layers,
)
from keras_deeptools.engine._keras_private.optimizers import counted_batches
from keras_deeptools.engine._update.leaf import optimizer_parts
from keras_deeptools.engine._update.step_reads import (
    LIBRARIES,
    Path,
    has_own_train_step,
    paths_read,
)

MAIN = "optimizer"
"""The attribute under which Keras keeps the optimizer that `compile` was given."""

DEEPEST = 5
LONGEST = 1000
"""Longer lists hold data."""
PLAIN = (str, bytes, int, float, complex, bool, type(None), type)

OptimizerChoice = Any
"""None, a name, an optimizer, `"all"`, or a list of names and optimizers."""


@dataclass(frozen=True)
class ModelOptimizer:
    """One optimizer of a model, and where the model holds it.

    Args:
        optimizer: Keras optimizer.
        names: Tuple of str, such as `"g_optimizer"`, `"optimizers[0]"`,
            `"optimizers['g']"` or `"generator.optimizer"`; the first is how it is
            called in logs and messages.
        paths: Tuple of the attributes that lead to it, for each name.
        own: Bool. Whether the model itself holds it, rather than a model inside.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.model_optimizers import model_optimizers
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> [found] = model_optimizers(model)
    >>> found.name, found.optimizer is model.optimizer, found.own
    ('optimizer', True, True)
    """

    optimizer: Any
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    own: bool

    @property
    def name(self) -> str:
        """How it is called."""
        return self.names[0]


def model_optimizers(model: Any) -> list[ModelOptimizer]:
    """All optimizers that a model holds, the one it was compiled with first.

    Looks into lists, tuples, dicts, models and other objects that are attributes of the
    model, at any depth. An optimizer inside another one (`LossScaleOptimizer`,
    `MultiOptimizer`) is not listed by itself: its names are the outer one's.

    Args:
        model: `keras.Model`.

    Returns:
        List of `ModelOptimizer`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.model_optimizers import model_optimizers
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> model.others = {"late": keras.optimizers.Adam()}
    >>> [found.name for found in model_optimizers(model)]
    ['optimizer', "others['late']"]
    """
    places: dict[int, list[tuple[str, Path, bool]]] = {}
    optimizers: dict[int, Any] = {}
    main = getattr(model, MAIN, None)
    if isinstance(main, keras.optimizers.Optimizer):
        optimizers[id(main)] = main
        places[id(main)] = [(MAIN, (MAIN,), True)]
    for name, path, own, optimizer in _walk(model, "", (), True, set(), 0):
        optimizers.setdefault(id(optimizer), optimizer)
        known = places.setdefault(id(optimizer), [])
        if name not in [other for other, _, _ in known]:
            known.append((name, path, own))
    outer = {
        id(part): root
        for root in optimizers.values()
        for part in optimizer_parts(root)[1:]
    }
    for key in list(optimizers):
        root = outer.get(key)
        if root is not None:
            # Of nested ones the outermost.
            while id(root) in outer:
                root = outer[id(root)]
            places[id(root)] += places.pop(key)
            del optimizers[key]
    found = []
    for key, optimizer in optimizers.items():
        # What the author of the model calls it says more than Keras' attribute.
        listed = sorted(places[key], key=lambda place: place[0] == MAIN)
        found.append(
            ModelOptimizer(
                optimizer,
                tuple(name for name, _, _ in listed),
                tuple(path for _, path, _ in listed),
                any(own for _, _, own in listed),
            )
        )
    # First what compile was given, then the model's own, then those of models inside.
    return sorted(found, key=lambda each: (each.optimizer is not main, not each.own))


def used_optimizers(model: Any) -> list[ModelOptimizer]:
    """The optimizers that the model's train step uses, as far as its code tells.

    Keras' own step uses `model.optimizer`. Of a step of the model's own it is read
    from the code which ones it names; where it names none, it is `model.optimizer`
    again, or all others where there is no such optimizer.

    Args:
        model: `keras.Model`.

    Returns:
        List of `ModelOptimizer`, empty only where the model has no optimizer.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.model_optimizers import used_optimizers
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> model.others = {"late": keras.optimizers.Adam()}
    >>> [found.name for found in used_optimizers(model)]
    ['optimizer']
    """
    found = model_optimizers(model)
    main = [each for each in found if each.optimizer is getattr(model, MAIN, None)]
    if has_own_train_step(model):
        read = _named_in_step(model, found)
        if read:
            return read
    return main or found


def chosen_optimizers(
    model: Any, choice: OptimizerChoice, owner: str = "attach"
) -> list[ModelOptimizer]:
    """The optimizers of a model that a user has chosen.

    Args:
        model: `keras.Model`.
        choice: None for those that the train step uses; a name as in
            `ModelOptimizer.names`, the name of a list or dict of optimizers, or what
            the optimizer itself is called; an optimizer; a list of these; `"all"`.
        owner: Str. Name of the caller, for errors.

    Returns:
        List of `ModelOptimizer`, each once.

    Raises:
        TypeError: If `choice` is none of these.
        ValueError: If the model has no such optimizer, or none at all.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.model_optimizers import chosen_optimizers
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> model.others = [keras.optimizers.Adam(), keras.optimizers.Lion()]
    >>> [found.name for found in chosen_optimizers(model, "others")]
    ['others[0]', 'others[1]']
    """
    check_choice(choice, owner)
    found = model_optimizers(model)
    if not found:
        raise ValueError(
            f"{owner}: the model must be compiled with an optimizer. Received: "
            f"model={model.name!r}, which is not, and holds none. Call "
            "`model.compile(...)` first, or in a loop `attach(optimizer, ...)`."
        )
    if choice is None:
        return used_optimizers(model)
    if isinstance(choice, str) and choice == "all":
        return _all(model, found)
    chosen: dict[int, ModelOptimizer] = {}
    for each in choice if isinstance(choice, (list, tuple)) else [choice]:
        fitting = _fitting(model, each, found)
        if not fitting:
            raise ValueError(_unmatched(model, each, found, owner))
        for one in fitting:
            chosen.setdefault(id(one.optimizer), one)
    return list(chosen.values())


def check_choice(choice: OptimizerChoice, owner: str) -> None:
    """Raises TypeError, naming `owner`, if `choice` fits the optimizers of no model."""
    listed = choice if isinstance(choice, (list, tuple)) else [choice]
    several = isinstance(choice, (list, tuple))
    for each in listed:
        if not isinstance(each, (str, keras.optimizers.Optimizer)) and (
            several or each is not None
        ):
            raise TypeError(_rule(choice, owner))
    if several and not listed:
        raise ValueError(_rule(choice, owner))


def _rule(choice: Any, owner: str) -> str:
    return (
        f"{owner}: `optimizer` must be the name of an optimizer of the model, such as "
        '"g_optimizer", an optimizer, a list of these, "all" or None. '
        f"Received: optimizer={choice!r}. None chooses those that the train step uses."
    )


def check_one_optimizer(owner: str, model: Any) -> None:
    """Raises if the train step uses another optimizer than that of `compile`.

    Args:
        owner: Str. Who needs it, for the error.
        model: `keras.Model`, compiled.
    """
    used = used_optimizers(model)
    if any(each.optimizer is not getattr(model, MAIN, None) for each in used):
        raise ValueError(
            f"{owner}: the train step must use the optimizer that the model was "
            "compiled with, which follows what is frozen and unfrozen. Received: "
            f"{model.name!r}, whose `train_step` uses {listed_names(used)}. Freeze and "
            "unfreeze between trainings, and make these optimizers anew."
        )


def _named_in_step(model: Any, found: list[ModelOptimizer]) -> list[ModelOptimizer]:
    read = paths_read(model)
    return [
        each
        for each in found
        if any(path == one[: len(path)] for path in each.paths for one in read)
    ]


def _all(model: Any, found: list[ModelOptimizer]) -> list[ModelOptimizer]:
    """All that the model itself holds, and those of models inside that it uses."""
    used = {id(each.optimizer) for each in used_optimizers(model)}
    main = getattr(model, MAIN, None)
    # `compile` makes one by itself that such a model does not use.
    return [
        each
        for each in found
        if id(each.optimizer) in used or (each.own and each.optimizer is not main)
    ]


def _fitting(
    model: Any, choice: Any, found: list[ModelOptimizer]
) -> list[ModelOptimizer]:
    if isinstance(choice, str):
        return _named(model, choice, found)
    for each in found:
        if any(part is choice for part in optimizer_parts(each.optimizer)):
            return [each]
    # Held where the search does not look; the user knows better.
    return [ModelOptimizer(choice, (choice.name,), ((),), True)]


def _named(model: Any, name: str, found: list[ModelOptimizer]) -> list[ModelOptimizer]:
    exact = [each for each in found if name in each.names]
    if exact:
        # Called in logs as the user calls it.
        [each] = exact
        names = (name, *(other for other in each.names if other != name))
        return [ModelOptimizer(each.optimizer, names, each.paths, each.own)]
    inside = re.compile(re.escape(name) + r"[\[.]")
    held = [each for each in found if any(map(inside.match, each.names))]
    if held:
        return held
    value = getattr(model, name, None) if name.isidentifier() else None
    if isinstance(value, keras.optimizers.Optimizer):
        return _fitting(model, value, found)
    return [each for each in found if each.optimizer.name == name]


def _unmatched(model: Any, choice: str, found: list[ModelOptimizer], owner: str) -> str:
    return (
        f"{owner}: `optimizer` must name an optimizer of the model. Received: "
        f"optimizer={choice!r}, which {model.name!r} does not have. "
        f"It has {listed_names(found)}."
    )


def listed_names(found: list[ModelOptimizer]) -> str:
    """Names of optimizers for a message."""
    names = [f"`{each.name}`" for each in found]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def choice_names(choice: OptimizerChoice) -> Any:
    """The choice with names in place of optimizers, as a config can hold it."""
    if isinstance(choice, (list, tuple)):
        return [choice_names(each) for each in choice]
    return getattr(choice, "name", choice)


def updates_made(optimizer: Any) -> int:
    """How often an optimizer was applied, counting batches under accumulation.

    Args:
        optimizer: Keras optimizer, on the host and between steps.

    Returns:
        Int; -1 where a failed step has taken the count along.
    """
    counts = [counted_batches(part) for part in optimizer_parts(optimizer)]
    try:
        values = [on_host(count) for count in counts if count is not None]
    except (RuntimeError, TypeError, ValueError):
        return -1
    return sum(map(int, values))


def log_prefix(found: ModelOptimizer) -> str:
    """What its numbers begin with in logs, such as `"g_optimizer_"`."""
    return re.sub(r"\W+", "_", found.name).strip("_") + "_"


def _walk(
    owner: Any, name: str, path: Path, own: bool, seen: set[int], depth: int
) -> Iterator[tuple[str, Path, bool, Any]]:
    """Optimizers under an object, each with its name, path and whether it is own."""
    if isinstance(owner, keras.optimizers.Optimizer):
        yield name, path, own, owner
        if _of_library(owner):
            return
    if isinstance(owner, PLAIN) or id(owner) in seen or depth > DEEPEST:
        return
    if isinstance(owner, (Mapping, list, tuple, set)) and len(owner) > LONGEST:
        return
    seen.add(id(owner))
    inside = own and not (depth and isinstance(owner, keras.Layer))
    if isinstance(owner, Mapping):
        for key, value in list(owner.items()):
            if key != SUBMODULES:
                part = f"{name}[{key!r}]"
                yield from _walk(value, part, path, inside, seen, depth + 1)
    elif isinstance(owner, (list, tuple, set, frozenset)):
        fields = getattr(owner, "_fields", None)
        for i, value in enumerate(owner):
            part = f"{name}.{fields[i]}" if fields else f"{name}[{i}]"
            here = (*path, fields[i]) if fields else path
            yield from _walk(value, part, here, inside, seen, depth + 1)
    elif isinstance(owner, keras.Layer) or not _of_library(owner):
        for key, value in _attributes(owner):
            part = f"{name}.{key}" if name else key
            yield from _walk(value, part, (*path, key), inside, seen, depth + 1)


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    """The attributes of an object, the public ones first."""
    attributes = {
        name: value
        for name, value in getattr(owner, "__dict__", {}).items()
        # What this package and TensorFlow keep on a model leads back to optimizers.
        if not name.startswith(("_keras_deeptools", TRACKING))
    }
    # torch keeps the layers of a layer apart.
    modules = attributes.pop(SUBMODULES, None)
    attributes |= modules if isinstance(modules, dict) else {}
    layers: dict[str, Any] = {}
    if isinstance(owner, keras.Layer):
        for name in (*LEADING_TO_LAYERS, TRAINABLE_STATE):
            attributes.pop(name, None)
        layers = {layer.name: layer for layer in direct_layers(owner)}
    public = sorted(attributes, key=lambda name: name.startswith("_"))
    return [*((name, attributes[name]) for name in public), *layers.items()]


def _of_library(owner: Any) -> bool:
    return type(owner).__module__.partition(".")[0] in (*LIBRARIES, "builtins")
