"""Variables of features that ride through the train step with another optimizer.

On JAX, Keras hands to the train step what `model.optimizer` holds and takes it back.
A train step with optimizers of its own threads their variables in its own way, which
knows nothing of ours. So ours ride with `model.optimizer`, and are lent to the
optimizer that they belong to for the length of its update.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from keras.src.backend.common.stateless_scope import get_stateless_scope

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
    def in_scope(self, variables: list[Any]) -> Iterator[None]:
        """Lets an update that runs in a `StatelessScope` read and write guests."""
        scope = get_stateless_scope()
        keys = {id(v) for v in variables}
        if self.values is None or scope is None or keys <= self._lent:
            yield
            return
        for variable in variables:
            scope.add_update((variable, self.values[id(variable)]))
        yield
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
                raise ValueError(
                    f"attach: `{root.name}` can be used in the `train_step` of "
                    f"{self._model.name!r} alone while features are attached through "
                    "the model. Received: a call of `stateless_apply` outside of it. "
                    "Attach to the optimizer itself in a loop of your own."
                )
            own = list(optimizer_variables)
            values = dict(zip(map(id, root.variables), own, strict=False))
            values |= {key: self.values[key] for key in guests}
            self._lent |= guests
            for leaf in leaves:
                for variable in leaf.state:
                    leaf.optimizer._track_variable(variable)
            try:
                every = list(root.variables)
                trained, new = apply(
                    [values[id(v)] for v in every], grads, trainable_variables
                )
            finally:
                self._lent -= guests
                for leaf in leaves:
                    for variable in leaf.state:
                        leaf.optimizer._untrack_variable(variable)
            after = dict(zip(map(id, every), new, strict=True))
            self.values |= {key: after[key] for key in guests}
            return trained, [after[id(v)] for v in root.variables]

        return stateless_apply


def take_in(model: Any) -> GuestState:
    """The guests of a model, ready to take more."""
    return vars(model).setdefault(GUESTS, GuestState(model))


def leave(model: Any) -> None:
    """Forgets the guests of a model, when there are none."""
    found = None if model is None else vars(model).get(GUESTS)
    if found is not None and not found.variables:
        del vars(model)[GUESTS]
