"""Variables of features that pass through the train step with another optimizer.

On JAX, Keras passes the variables of `model.optimizer` to the train step and takes them
back. A train step with other optimizers passes their variables on in its own way, which
does not include the variables of features. So these pass through the step with
`model.optimizer`, and are lent to the optimizer that they belong to during its update.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._keras_private.layers import current_scope
from keras_deeptools.engine._keras_private.optimizers import track, untrack
from keras_deeptools.engine._update.train_step import KEPT

GUESTS = "_keras_deeptools_guests"


class GuestState:
    """The guests of one model.

    Attributes:
        variables: List of `keras.Variable`.
        values: Dict from the identity of each to its value, inside a train step.
    """

    def __init__(self, model: Any) -> None:
        self.variables: list[Any] = []
        self.values: dict[int, Any] | None = None
        self._model = model
        self._lent: set[int] = set()

    def threaded(self, train_step: Callable) -> Callable:
        """The train step, which passes the guests on."""

        @functools.wraps(train_step)
        def step(state: Any, *args: Any, **kwargs: Any) -> Any:
            if self.values is not None:
                return train_step(state, *args, **kwargs)
            hosts = list(self._model.optimizer.variables)
            now = {id(v): value for v, value in zip(hosts, state[2], strict=True)}
            self.values = {id(v): now[id(v)] for v in self.variables}
            try:
                logs, (trained, others, optimizer_state, metrics) = train_step(
                    state, *args, **kwargs
                )
                new = self.values
            finally:
                self.values = None
            values = zip(hosts, optimizer_state, strict=True)
            optimizer_state = [new.get(id(v), value) for v, value in values]
            return logs, (trained, others, optimizer_state, metrics)

        return step

    @contextlib.contextmanager
    def in_scope(self, optimizer: Any, variables: list[Any]) -> Iterator[None]:
        """Lets an update that runs in a `StatelessScope` read and write guests."""
        scope = current_scope()
        keys = {id(v) for v in variables}
        if self.values is None or scope is None or keys <= self._lent:
            yield
            return
        for variable in variables:
            scope.add_update((variable, self.values[id(variable)]))
            # Among its variables, they are undone where it only accumulates.
            track(optimizer, variable)
        try:
            yield
        finally:
            for variable in variables:
                untrack(optimizer, variable)
        for variable in variables:
            self.values[id(variable)] = scope.get_current_value(variable)

    def lent(self, root: Any, leaves: list[Any]) -> Callable:
        """The `stateless_apply` of an optimizer, with the guests that belong to it.

        Args:
            root: Outermost optimizer.
            leaves: List of `Leaf`, its parts.
        """
        apply = root.stateless_apply

        def stateless_apply(
            optimizer_variables: Any, grads: Any, trainable_variables: Any
        ) -> Any:
            guests = {id(v) for leaf in leaves for v in leaf.state}
            if not guests:
                return apply(optimizer_variables, grads, trainable_variables)
            if self.values is None:
                return self._lent_outside(stateless_apply, root, guests)(
                    optimizer_variables, grads, trainable_variables
                )
            own = list(optimizer_variables)
            values = dict(zip(map(id, root.variables), own, strict=False))
            values |= {key: self.values[key] for key in guests}
            self._lent |= guests
            for leaf in leaves:
                for variable in leaf.state:
                    track(leaf.optimizer, variable)
            try:
                every = list(root.variables)
                trained, new = apply(
                    [values[id(v)] for v in every], grads, trainable_variables
                )
            finally:
                self._lent -= guests
                for leaf in leaves:
                    for variable in leaf.state:
                        untrack(leaf.optimizer, variable)
            after = dict(zip(map(id, every), new, strict=True))
            self.values |= {key: after[key] for key in guests}
            return trained, [after[id(v)] for v in root.variables]

        return stateless_apply

    def _lent_outside(self, apply: Callable, root: Any, guests: set[int]) -> Callable:
        """The `stateless_apply` of an optimizer outside of the model's train step."""

        def stateless_apply(*args: Any) -> Any:
            if tensors.is_traced(keras.tree.flatten(args)):
                raise ValueError(
                    f"attach: `{root.name}` of {self._model.name!r} can be compiled in "
                    "the model's `train_step` alone, which hands on what is attached. "
                    "Received: a call of `stateless_apply` in another compiled "
                    "function. Use networks and optimizers in it that no compiled "
                    "model holds, and attach to the optimizer."
                )
            mine = [v for v in self.variables if id(v) in guests]
            self.values = {id(v): v.value for v in mine}
            try:
                result = apply(*args)
                new = self.values
            finally:
                self.values = None
            for variable in mine:
                variable.assign(new[id(variable)])
            return result

        return stateless_apply


def take_in(model: Any) -> GuestState:
    """The guests of a model, ready to take more."""
    return vars(model).setdefault(GUESTS, GuestState(model))


def leave(model: Any) -> None:
    """Forgets the guests of a model, when there are none, nor a step that knew some."""
    found = None if model is None else vars(model).get(GUESTS)
    if found is not None and not found.variables and KEPT not in vars(model):
        del vars(model)[GUESTS]
