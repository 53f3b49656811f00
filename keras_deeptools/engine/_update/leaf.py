"""An optimizer that updates variables itself, as features of the engine see it."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._keras_private.layers import layout_of
from keras_deeptools.engine._keras_private.optimizers import (
    built_for,
    counted_batches,
    position_of,
    weight_averages,
)
from keras_deeptools.engine._keras_private.versions import multi_optimizers


class Leaf:
    """An optimizer that updates variables itself, not through another optimizer.

    `LossScaleOptimizer` contains one such optimizer and `MultiOptimizer` contains
    several. Made by `attach`; features receive it in every stage.

    Args:
        optimizer: Built Keras optimizer.
        model: `keras.Model` that it trains, or None.
        root: Outermost optimizer around it; None: `optimizer` itself.
        kept: State variables of an earlier attachment, which are used again in their
            order if new variables would be like them.

    Attributes:
        optimizer: The Keras optimizer.
        model: The model that it trains, or None.
        root: The outermost optimizer, the one that the model was compiled with.
        roots: The outermost optimizers that the feature being started is attached to;
            more than one if a model has several.
        variables: Trainable variables that the optimizer was built for.
        paths: Their paths, such as `"sequential/dense/kernel"`.
        active: Inside a stage, the variables that have a gradient in this step.
        positions: Inside a stage, the indices of `active` in `variables`.
        copies: List of the state variables that have the shapes of weights, such as
            moving averages of them.
        entered: Bool. Whether an update has been run or traced since attaching.
        skipped: Int variable that counts the updates that a LossScaleOptimizer has
            skipped because of non-finite gradients since attaching; None without one.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import Feature, attach
    >>> class Describe(Feature):
    ...     def prepare(self, leaf):
    ...         print(len(leaf.variables), leaf.optimizer.name)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, name="descent"), loss="mse")
    >>> with attach(model, Describe()):
    ...     pass
    2 descent
    """

    def __init__(
        self,
        optimizer: Any,
        model: Any = None,
        root: Any = None,
        kept: Sequence[Any] = (),
    ) -> None:
        self.optimizer = optimizer
        self.root = optimizer if root is None else root
        self.roots = [self.root]
        self.model = model
        self.state: list[Any] = []
        self.copies: list[Any] = []
        # The optimizer whose variables the state is passed along with, maybe as guests.
        self.host = self.optimizer
        self.guests: Any = None
        self.scheduled: dict[str, Any] = {}
        self.skipped: Any = None
        self.entered = False
        self._kept = list(kept)
        self.follow()

    def follow(self) -> None:
        """Stores the variables that the optimizer was built for."""
        self.variables = list(built_for(self.optimizer))
        self.paths = [variable.path for variable in self.variables]
        self.active: list[Any] = []
        self.positions: list[int] = []
        self.snapshot: list[Any] | None = None

    @property
    def step(self) -> Any:
        """Number of updates that the optimizer has made so far.

        It is an int tensor, or an int if the host knows it at no cost. With gradient
        accumulation it counts updates, not micro-batches.
        """
        iterations = tensors.scalar(counted_batches(self.optimizer))
        if isinstance(iterations, int):
            return iterations // self.accumulation_steps
        # With bfloat16 as the global dtype, Keras turns counts that it divides into
        # floats.
        whole = counted_batches(self.optimizer).dtype
        return keras.ops.cast(self.optimizer.iterations, whole)

    @property
    def num_updates(self) -> int:
        """`step` as a Python integer; on the host, between steps."""
        return (
            int(self.read(counted_batches(self.optimizer))) // self.accumulation_steps
        )

    @property
    def num_skipped(self) -> int:
        """Number of updates skipped by loss scaling; on the host, between steps."""
        return 0 if self.skipped is None else int(self.read(self.skipped))

    @property
    def accumulation_steps(self) -> int:
        """Number of batches per update."""
        return self.optimizer.gradient_accumulation_steps or 1

    def value_of(self, name: str) -> Any:
        """The value in effect of a scheduled hyperparameter, a scalar.

        Args:
            name: Str. A key that `hyperparameters` of an attached feature returned.
        """
        return tensors.scalar(self.scheduled[name].variable)

    def factor_of(self, name: str) -> float:
        """The factor that others have applied to a scheduled value.

        It is read on the host, between steps.

        Args:
            name: Str. A key that `hyperparameters` of an attached feature returned.
        """
        return float(getattr(self.scheduled[name], "factor", 1.0))

    def enter(self, variables: list[Any]) -> None:
        """Stores which variables have gradients in the step being traced."""
        self.entered = True
        self.active = list(variables)
        self.positions = [position_of(self.optimizer, v) for v in self.active]

    def at_home(self) -> Any:
        """A context in an update, where the state has the values of this step."""
        if self.guests is None:
            return contextlib.nullcontext()
        return self.guests.in_scope(self.optimizer, self.state)

    def add_state(
        self,
        name: str,
        shape: tuple[int, ...] = (),
        dtype: str = "float32",
        initial: float = 0.0,
        like: Any = None,
    ) -> Any:
        """Creates a variable that is passed through the step with the optimizer.

        Args:
            name: Str. Used for debugging.
            shape: Tuple of ints.
            dtype: Str.
            initial: Float. Initial value of every element.
            like: `keras.Variable` of this shape, or None. Under `keras.distribution`
                the new variable is split over the devices in the same way; without
                it, each device has a whole copy.

        Returns:
            `keras.Variable`. It is not part of saved files, and is removed by
            detaching.
        """
        layout = layout_of(like)
        placed = {} if layout is None else {"layout": layout}
        variable = self.adopt(
            lambda: keras.Variable(
                keras.initializers.Constant(initial),
                shape=shape,
                dtype=dtype,
                trainable=False,
                aggregation="only_first_replica",
                name=name,
                **placed,
            )
        )
        if like is not None:
            self.copies.append(variable)
        return variable

    def adopt(self, create: Callable[[], Any]) -> Any:
        """Passes a variable made by `create` through the step with the optimizer."""
        optimizer = self.optimizer
        with training.variable_scope(optimizer), keras.name_scope(optimizer.name):
            variable = self._kept_for(create())
        training.track(self.host, variable)
        if self.guests is not None:
            self.guests.variables.append(variable)
        self.state.append(variable)
        return variable

    def _kept_for(self, variable: Any) -> Any:
        """The variable that a kept step uses instead, with the value of this one."""
        if not self._kept:
            return variable
        old = self._kept.pop(0)
        alike = type(old) is type(variable) and old.name == variable.name
        if not alike or (old.shape, old.dtype) != (variable.shape, variable.dtype):
            self._kept = []
            return variable
        old.assign(variable.value)
        return old

    def drop_state(self, variables: list[Any]) -> None:
        """Removes variables made by `add_state` from the optimizer."""
        for variable in variables:
            training.untrack(self.host, variable)
        dropped = {id(variable) for variable in variables}
        if self.guests is not None:
            held = self.guests.variables
            held[:] = [v for v in held if id(v) not in dropped]
        self.state = [v for v in self.state if id(v) not in dropped]
        self.copies = [v for v in self.copies if id(v) not in dropped]

    def state_by_variable(
        self, known: dict[int, Any], begun: Callable[[Any], Any]
    ) -> dict[int, Any]:
        """One state variable for each variable of now, by the `id` of that variable.

        Args:
            known: Dict, as this method returned it before. What is left in it of
                variables that are gone is removed from the optimizer.
            begun: Function that makes the state of a variable that is new.
        """
        states = {
            id(v): known[id(v)] if id(v) in known else begun(v) for v in self.variables
        }
        self.drop_state([known[key] for key in known.keys() - states.keys()])
        return states

    def read(self, variable: Any) -> np.ndarray:
        """The value of a variable on the host, also during `fit`."""
        self._synchronize()
        return on_host(variable)

    def assign(self, variable: Any, value: Any) -> None:
        """Sets a variable from the host, also during `fit`.

        Args:
            variable: `keras.Variable`, such as one made by `add_state`.
            value: Number or array of its shape.
        """
        self._synchronize()
        variable.assign(value)

    def _synchronize(self) -> None:
        if self.model is not None:
            training.synchronize(self.model)


def leaf_optimizers(optimizer: Any) -> list[Any]:
    """The optimizers that update variables themselves, without their wrappers."""
    return [part for part in optimizer_parts(optimizer) if _inner(part) is None]


def optimizer_parts(optimizer: Any) -> list[Any]:
    """The optimizer and those inside it, at any depth; none for None."""
    if optimizer is None:
        return []
    inner = _inner(optimizer) or []
    return [optimizer, *(part for each in inner for part in optimizer_parts(each))]


def _inner(optimizer: Any) -> list[Any] | None:
    """The optimizers directly inside one; None if it updates variables itself."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return [inner]
    if isinstance(optimizer, multi_optimizers()):
        return list(optimizer.optimizers)
    return None


def trained_variables(leaf: Leaf) -> list[Any]:
    """The variables that an optimizer trains, through any of its parts.

    If a feature is being attached to several optimizers of a model, the variables of
    all of them that are built are included.

    Args:
        leaf: `Leaf`, one of the parts, or the only one.

    Returns:
        List of `keras.Variable`.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import Feature, attach
    >>> from keras_deeptools.engine._update.leaf import trained_variables
    >>> class Compare(Feature):
    ...     def prepare(self, leaf):
    ...         print(len(leaf.variables), "of", len(trained_variables(leaf)))
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> with attach(model, Compare()):
    ...     pass
    2 of 2
    """
    roots = [root for root in leaf.roots if root.built]
    trained = [variable for root in roots for variable in built_for(root)]
    return list({id(variable): variable for variable in trained}.values())


def optimized_variables(optimizer: Any) -> list[Any]:
    """The variables that an optimizer was built for.

    These are the variables that it updates, also if some became trainable or frozen
    since.

    Args:
        optimizer: `keras.optimizers.Optimizer`.

    Returns:
        List of `keras.Variable`; empty if the optimizer is not built.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._update.leaf import optimized_variables
    >>> optimizer = keras.optimizers.SGD()
    >>> optimizer.build([keras.Variable(1.0)])
    >>> len(optimized_variables(optimizer))
    1
    """
    return list(built_for(optimizer))


def moving_averages(leaf: Leaf) -> list[Any]:
    """The moving averages that the optimizer keeps of its variables (`use_ema`).

    Args:
        leaf: `Leaf`.

    Returns:
        List of `keras.Variable`, one for each of `leaf.variables`; empty if the
        optimizer keeps no averages.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import Feature, attach
    >>> from keras_deeptools.engine._update.leaf import moving_averages
    >>> class Count(Feature):
    ...     def prepare(self, leaf):
    ...         print(len(moving_averages(leaf)))
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True), loss="mse")
    >>> with attach(model, Count()):
    ...     pass
    2
    """
    if not leaf.optimizer.use_ema:
        return []
    return list(weight_averages(leaf.optimizer))
