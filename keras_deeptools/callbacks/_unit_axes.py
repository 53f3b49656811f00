"""The axes of each weight array, known by the kind of layer or given by the user."""

import contextlib

from keras_deeptools._arguments import is_integer
from keras_deeptools._shared_docs import shared_docs
from keras_deeptools.callbacks._layer_selection import Held, LayerSelection
from keras_deeptools.engine import Leaf
from keras_deeptools.statistics import incoming_axes

Axis = int | tuple[int, ...]
Axes = tuple[int, ...]

FACTORS = ("lora_kernel", "lora_embeddings")
"""Prefixes of the roles of low-rank factors. The kernel that they adapt is frozen, and
neither of the two factors alone holds the weights of a unit."""

describes_axis = shared_docs(
    axis_to_type_error="""\
    axis: None chooses the axes by the kind of layer; an int or tuple of ints gives
        the axes that hold the incoming weights of one unit, for all chosen weights;
        a dict maps names and patterns to axes (None leaves the weights alone).
    optimizer: Which optimizers of the model to act on, as for `TrainingFeature`.

Attributes:
    left_alone: List of the paths of the weights that the last `fit` left alone,
        because their axes are not known.

Raises:
    TypeError: If an argument is of the wrong type.
"""
)
"""Fills in the end of `Args:` in the docstring of a callback with `axis`, and so on."""


class AxisChoice:
    """Finds the axes that hold the incoming weights of one unit.

    Args:
        axis: None to go by the kind of layer; axes for all weights; or a dict from
            names and patterns to axes (None leaves the weights alone).
        owner: Str. Name of the caller, for errors.

    Attributes:
        unknown: Dict from the path of weights whose axes are not known, which are left
            alone, to a description of them.

    Raises:
        TypeError: If `axis` is none of these.
        ValueError: If axes are given twice, or a dict or tuple is empty.
    """

    def __init__(self, axis: object, owner: str) -> None:
        self.owner = owner
        self.unknown: dict[str, str] = {}
        self._by_pattern: dict[str, Axes | None] = {}
        self._for_all: Axes | None = None
        if isinstance(axis, dict):
            if not axis or not all(isinstance(name, str) for name in axis):
                raise TypeError(self._rule(axis))
            for name, item in axis.items():
                self._by_pattern[name] = None if item is None else self._tuple(item)
        elif axis is not None:
            self._for_all = self._tuple(axis)

    def of(self, held: list[Held], leaf: Leaf) -> list[tuple[Held, Axes]]:
        """The variables that have incoming weights, with their axes.

        Args:
            held: List of `Held`.
            leaf: `Leaf` they belong to.

        Returns:
            List of tuples of a `Held` and its axes.

        Raises:
            ValueError: If axes do not exist, a pattern matches nothing, or the axes of
                a weight are not known because the model is not.
        """
        told = self._told(leaf)
        found = []
        for item in held:
            axes = self._of_one(item, told)
            if axes is not None:
                found.append((item, axes))
        return found

    def vectors(self, held: list[Held], leaf: Leaf) -> list[tuple[Held, Axes]]:
        """The variables without incoming weights, such as biases, with all their axes.

        Args:
            held: List of `Held`.
            leaf: `Leaf` they belong to.
        """
        told = self._told(leaf)
        found = []
        for item in held:
            rank = len(item.variable.shape)
            is_left = told.get(id(item.variable), ()) is None
            if is_left or item.role.startswith(FACTORS):
                continue
            with contextlib.suppress(ValueError):
                if incoming_axes(item.layer, item.role, rank) is None:
                    found.append((item, tuple(range(rank))))
        return found

    def _of_one(self, held: Held, told: dict[int, Axes | None]) -> Axes | None:
        is_told = self._for_all is not None or id(held.variable) in told
        if held.role.startswith(FACTORS) and not is_told:
            return None
        try:
            usual = incoming_axes(held.layer, held.role, len(held.variable.shape))
        except ValueError as error:
            if not is_told and held.layer is None:
                raise ValueError(self._without_model(held)) from error
            if not is_told:
                self.unknown[held.variable.path] = (
                    f"{tuple(held.variable.shape)}, {held.role!r} of a layer of type "
                    f"{type(held.layer).__name__}"
                )
                return None
        else:
            if usual is None or not is_told:
                return usual
        axes = told.get(id(held.variable), self._for_all)
        return None if axes is None else self._within(axes, held)

    def _told(self, leaf: Leaf) -> dict[int, Axes | None]:
        told: dict[int, Axes | None] = {}
        for pattern, axes in self._by_pattern.items():
            selection = LayerSelection(pattern, self.owner, "axis")
            for item in selection.everywhere(leaf):
                told.setdefault(id(item.variable), axes)
        return told

    def _within(self, axes: Axes, held: Held) -> Axes:
        rank = len(held.variable.shape)
        inside = tuple(sorted({a % rank for a in axes if -rank <= a < rank}))
        if len(inside) != len(axes):
            raise ValueError(
                f"{self.owner}: `axis` must hold different axes of the weights. "
                f"Received: axis={axes} for {held.variable.path!r} of shape "
                f"{tuple(held.variable.shape)}."
            )
        return inside

    def _tuple(self, axis: object) -> Axes:
        axes = axis if isinstance(axis, (list, tuple)) else (axis,)
        if not axes or not all(map(is_integer, axes)):
            raise TypeError(self._rule(axis))
        return tuple(axes)

    def _rule(self, axis: object) -> str:
        return (
            f"{self.owner}: `axis` must be an int, a tuple of ints, or a dict from "
            f"names or patterns to them. Received: axis={axis!r}. Leave it out to go "
            "by the kind of layer."
        )

    def _without_model(self, held: Held) -> str:
        return (
            f"{self.owner}: `axis` must tell the axes of weights whose kind is not "
            f"known. Received: {held.variable.path!r} of shape "
            f"{tuple(held.variable.shape)}, {held.role!r} of an unknown layer. "
            "Attach to the compiled model, which knows its layers."
        )

    def warning(self) -> str:
        """The warning about weights that are left alone because they are unknown."""
        path, what = next(iter(self.unknown.items()))
        role = path.rpartition("/")[2]
        more = len(self.unknown) - 1
        others = f" and {more} more (see `left_alone`)" if more else ""
        return (
            f"{self.owner}: weights whose axes are not known are left alone. Received: "
            f"{path!r} of shape {what}{others}. Say which axes hold a unit's incoming "
            f"weights: axis={{{'*/' + role!r}: 0}}, or None in place of 0 to leave "
            "them alone without a warning."
        )
