"""What a run was set to do, and settings with which no gradient can help."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_deeptools._finding import Finding
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.statistics._gradient_run import FINDER, PLANNED, RunSettings

CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")
"""Of several Keras applies the first."""


def run_settings(
    leaf: Leaf, where: str, params: Mapping[str, Any] | None
) -> RunSettings:
    """What rules about gradients read beside them.

    Args:
        leaf: `Leaf`.
        where: Str. What the model calls the optimizer.
        params: Dict that `fit` gives its callbacks, or None.
    """
    given = {name: getattr(leaf.optimizer, name, None) for name in CLIPS}
    set_first = [(name, float(value)) for name, value in given.items() if value]
    known = params or {}
    planned = int(known.get("epochs") or 0) * int(known.get("steps") or 0)
    return RunSettings(planned or PLANNED, dict(set_first[:1]), where)


def rate_not_positive(leaf: Leaf, where: str) -> Iterator[Finding]:
    """A learning rate with which updates climb the loss, or do nothing.

    Args:
        leaf: `Leaf`, between steps.
        where: Str. What the model calls the optimizer.
    """
    rate = None
    with contextlib.suppress(AttributeError, RuntimeError, TypeError, ValueError):
        rate = float(on_host(leaf.optimizer.learning_rate))
    if rate is None or not rate < 0:
        return
    yield Finding(
        "learning rate not positive",
        where,
        f"The learning rate is {rate:g}: each update climbs the loss.",
        "Use a positive learning rate.",
        evidence={"learning_rate": rate},
        code=FINDER,
        reference="the definition of gradient descent",
    )


def nothing_trains(model: keras.Model) -> Iterator[Finding]:
    """A model without trainable weights, whose `fit` changes nothing.

    Args:
        model: `keras.Model`, built or not.
    """
    if model.built and model.weights and not model.trainable_variables:
        yield Finding(
            "everything is frozen",
            model.name,
            f"None of its {len(model.weights)} variables is trainable: fit changes "
            "nothing, and there is no gradient to watch.",
            "Set trainable = True on the layers that should learn, then compile again.",
            evidence={"variables": len(model.weights), "trainable": 0},
            code="model.trainable = True",
            reference="measured",
        )
