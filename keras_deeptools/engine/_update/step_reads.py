"""Finds in compiled code which attributes a model's own train step reads."""

import dis
import inspect
import types
from collections.abc import Iterator
from typing import Any

from keras_deeptools.engine._backends.common import LIBRARIES, SUBMODULES

Path = tuple[str, ...]

STARTS = ("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
BETWEEN = ("CACHE", "EXTENDED_ARG", "PUSH_NULL", "RESUME", "COPY_FREE_VARS")


def has_own_train_step(model: Any) -> bool:
    """Whether the model trains in another way than by Keras' own train step."""
    first = next(train_steps(model), None)
    return first is not None and not is_from_library(first)


def paths_read(model: Any) -> set[Path]:
    """What the model's own train step reads from the model, as paths of attributes.

    `self.d_optimizer.apply(...)` is `("d_optimizer", "apply")`. Followed are the
    methods that the step calls on the model and on what the model holds. What is
    looked up by a computed name is not found.

    Args:
        model: `keras.Model`.

    Returns:
        Set of tuples of names; empty where Keras' own step runs alone.
    """
    steps = list(train_steps(model))
    found: set[Path] = set()
    for function in steps:
        _read(function, model, (), found, set())
        if not _mentions(function, "train_step"):
            break
    return found


def lacks_what_it_reads(model: Any) -> bool:
    """Whether the model's own train step reads an attribute that does not exist yet.

    Args:
        model: `keras.Model`.
    """
    if not has_own_train_step(model):
        return False
    missing = object()
    return any(
        inspect.getattr_static(model, path[0], missing) is missing
        and _held(model, path[0]) is None
        for path in paths_read(model)
    )


def train_steps(model: Any) -> Iterator[Any]:
    """The functions named `train_step`, the one that runs first, then the inherited.

    Args:
        model: `keras.Model`.
    """
    own = vars(model).get("train_step")
    if own is not None:
        yield undecorated(own)
    for cls in type(model).__mro__:
        if "train_step" in vars(cls):
            yield undecorated(vars(cls)["train_step"])


def undecorated(function: Any) -> Any:
    """The Python function under decorators such as `tf.function` and `jax.jit`.

    Args:
        function: Function, decorated or not.
    """
    plain = None
    while function is not plain:
        plain = function
        for name in ("python_function", "__func__"):
            function = getattr(function, name, function)
        function = inspect.unwrap(function)
    return plain


def is_from_library(function: Any) -> bool:
    """Whether a function is one of Keras' or of a backend's, and not the user's.

    Args:
        function: Function or method.
    """
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] in LIBRARIES


def _mentions(function: Any, name: str) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and any(name in c.co_names for c in nested_codes(code))


def nested_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function, and of the functions that are defined in it.

    Args:
        code: Code of the outer function.
    """
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested_codes(constant)


def _read(
    function: Any, owner: Any, above: Path, found: set[Path], seen: set[tuple[int, int]]
) -> None:
    """Adds what one method reads from `owner`, which the model holds at `above`."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_argcount or (id(code), id(owner)) in seen:
        return
    seen.add((id(code), id(owner)))
    for path in _chains(code, code.co_varnames[0]):
        found.add((*above, *path))
        _follow(path, owner, above, found, seen)


def _follow(
    path: Path, owner: Any, above: Path, found: set[Path], seen: set[tuple[int, int]]
) -> None:
    """Goes into the method that a path leads to, if it does."""
    holder = owner
    for place, name in enumerate(path):
        method = inspect.getattr_static(type(holder), name, None)
        method = method.fget if isinstance(method, property) else method
        if isinstance(method, types.FunctionType):
            if not is_from_library(method):
                _read(method, holder, (*above, *path[:place]), found, seen)
            return
        held = _held(holder, name)
        if held is None:
            return
        holder = held


def _held(owner: Any, name: str) -> Any:
    """An attribute, without running any code of the owner's."""
    attributes = getattr(owner, "__dict__", {})
    # A layer's layers are not among its attributes on torch.
    return attributes.get(name, (attributes.get(SUBMODULES) or {}).get(name))


def _chains(code: types.CodeType, self_name: str) -> Iterator[Path]:
    """Paths of attributes that are read from the variable `self_name`."""
    for each in nested_codes(code):
        path: list[str] | None = None
        for instruction in dis.get_instructions(each):
            name, operand = instruction.opname, instruction.argval
            if name in BETWEEN:
                continue
            if path is not None and name.startswith(ATTRIBUTES):
                path.append(operand)
                continue
            if path:
                yield tuple(path)
            names = operand if isinstance(operand, tuple) else (operand,)
            started = name.startswith(STARTS) and names[-1] == self_name
            path = [] if started else None
        if path:
            yield tuple(path)
