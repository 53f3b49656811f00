"""What a stranger's program is to the exam."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

ALL = ("tensorflow", "jax", "torch")


@dataclass
class Script:
    """A compiled model and how its author trains it.

    Attributes:
        model: `keras.Model` as the author leaves it before training.
        fit: Arguments of `model.fit`; callbacks of the author's own among them.
        loop: A loop of the author's own, in place of `fit`.
        sample: What the author would pass to `predict`; None: `fit["x"]`.
        optimizer: Name of the optimizers to choose where the model has its own.
        custom_objects: What loading the saved model takes.
        network: The part of the model that predicts, where the model can't.
        loss_name: Which of the author's logs is the loss, where several could be.
        loads: Whether a saved model of the author's loads; else weights are saved.
    """

    model: keras.Model
    fit: dict[str, Any] = field(default_factory=dict)
    loop: Callable[[], Any] | None = None
    sample: Any = None
    optimizer: Any = None
    custom_objects: dict[str, Any] | None = None
    network: keras.Model | None = None
    loss_name: str | None = None
    loads: bool = True


@dataclass
class Program:
    """A way to write Keras code.

    Attributes:
        name: Name of the function that makes it.
        topic: What it is about.
        source: Where the idea comes from.
        make: Function that builds the model and the data anew.
        backends: Backends that the author's code runs on.
        refused: Feature -> a part of the text with which it is refused, where anybody
            would expect that.
    """

    name: str
    topic: str
    source: str
    make: Callable[[], Script]
    backends: tuple[str, ...] = ALL
    refused: dict[str, str] = field(default_factory=dict)


PROGRAMS: dict[str, Program] = {}


def program(
    topic: str,
    source: str,
    backends: tuple[str, ...] = ALL,
    refused: dict[str, str] | None = None,
) -> Callable:
    """Enters the function below into the exam."""

    def enter(make: Callable[[], Script]) -> Callable[[], Script]:
        name = make.__name__
        assert name not in PROGRAMS, name
        PROGRAMS[name] = Program(name, topic, source, make, backends, refused or {})
        return make

    return enter
