"""The outputs of a compiled model, each with its loss."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Head:
    """One output of a model.

    Attributes:
        key: Its key or index among the outputs; None for an only one.
        name: Str, its name; empty for an only one.
        loss: Its loss, as compiled.
        shape: Tuple, its shape where that is known, else empty.
    """

    key: Any
    name: str
    loss: Any
    shape: tuple[int | None, ...] = ()

    def part_of(self, structure: Any) -> Any:
        """What belongs to this output among outputs, targets or weights."""
        if structure is None or self.key is None:
            return structure
        if isinstance(structure, dict):
            return structure.get(self.key, structure.get(self.name))
        if isinstance(structure, list | tuple):
            return structure[self.key]
        return structure


def heads_of(owner: str, model: keras.Model) -> list[Head]:
    """The outputs of a model that have a loss.

    Args:
        owner: Str. Who is named in errors.
        model: `keras.Model`, compiled.
    """
    loss = model.loss
    outputs = getattr(model, "outputs", None) or []
    names = list(getattr(model, "output_names", None) or [])
    structure = model.output if len(outputs) > 1 else None
    if isinstance(loss, list | tuple) and len(loss) == 1 and len(outputs) <= 1:
        loss = loss[0]
    if len(outputs) <= 1 and not isinstance(loss, dict | list | tuple):
        shape = tuple(outputs[0].shape) if outputs else ()
        return [Head(None, "", loss, shape)]
    if isinstance(loss, dict):
        keys: list[Any] = list(loss)
        if not isinstance(structure, dict) and names:
            keys = [names.index(key) for key in keys]
        found = [
            Head(key, str(name), each)
            for key, (name, each) in zip(keys, loss.items(), strict=True)
        ]
    else:
        keys = list(structure) if isinstance(structure, dict) else []
        count = len(outputs) or len(loss)
        losses = loss if isinstance(loss, list | tuple) else [loss] * count
        found = [
            Head(keys[i] if keys else i, names[i] if i < len(names) else "", each)
            for i, each in enumerate(losses)
        ]
    found = [head for head in found if head.loss is not None]
    if not found:
        raise ValueError(
            f"{owner}: the model must have a loss for one of its outputs. Received: "
            f"loss={loss!r}. Compile it with a loss for each output that counts."
        )
    return found
