"""What tells one call from another: arguments, model and data, ready for JSON."""

import json
from typing import Any

import keras

from keras_deeptools.transfer._fine_tuning_plan import OWNER

Facts = dict[str, Any]


def described(thing: Any) -> Any:
    """A loss, an optimizer or another argument in words that JSON can hold.

    Without names, which count the objects of a session.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._run_facts import described
    >>> described([keras.losses.MeanSquaredError(), "mse", None])[1:]
    ['mse', None]
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, list | tuple):
        return [described(each) for each in thing]
    if isinstance(thing, dict):
        items = {str(key): described(value) for key, value in thing.items()}
        return {key: value for key, value in items.items() if key != "name"}
    name = getattr(thing, "__name__", type(thing).__name__)
    if not hasattr(thing, "get_config"):
        return name
    return [type(thing).__name__, described(thing.get_config())]


def facts_of(model: keras.Model) -> Facts:
    """What a compiled model is and how it is compiled."""
    return {
        "backend": keras.backend.backend(),
        "optimizer": described(model.optimizer),
        "loss": described(model.loss),
        "model": [f"{v.dtype} {tuple(v.shape)}" for v in model.variables],
    }


def check_same(given: Facts, found: Facts, place: str) -> None:
    """Raises if a directory holds the run of another call.

    Args:
        given: What describes this call.
        found: What the directory holds.
        place: Str, the directory.

    Raises:
        ValueError: Naming what differs.
    """
    given = json.loads(json.dumps(given))
    names = [n for n in given | found if given.get(n) != found.get(n)]
    if not names:
        return
    listed = "; ".join(f"{n}: {_pair(given.get(n), found.get(n))}" for n in names)
    raise ValueError(
        f"{OWNER}: `directory` must be new, or that of a call with the same arguments, "
        f"model and data. Received: directory={place!r}, where other than now "
        f"was {listed}. Make the same call to go on, or give another directory."
    )


def _pair(given: Any, found: Any) -> str:
    """Both values, as far as they are short."""
    if isinstance(given, list) and isinstance(found, list):
        pairs = zip(given, found, strict=False)
        for position, (one, other) in enumerate(pairs):
            if one != other:
                return f"[{position}] {_pair(one, other)}"
        return f"{len(found)} of them, now {len(given)}"
    if isinstance(given, dict) and isinstance(found, dict):
        for name in given | found:
            if given.get(name) != found.get(name):
                return f"{name} {_pair(given.get(name), found.get(name))}"
    return f"{found!r}, now {given!r}"
