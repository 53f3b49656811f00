"""Whole passes, compiled, differentiated or stochastic, on JAX; one update without XLA.

JAX compiles every operation, some twenty milliseconds for each that is new. Where two
numbers are to be computed once, the program is traced and followed in numpy instead.
"""

import functools
import hashlib
import inspect
import operator
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import keras
import numpy as np

from keras_deeptools.engine._backends.common import (
    NORMAL_BY_PREFIX as NORMAL_BY_PREFIX,
    PADS_ROWS as PADS_ROWS,
    is_exporting as is_exporting,
    unseeded as unseeded,
)

_MOST_EXECUTABLES = 8

_executables: OrderedDict[Any, Any] = OrderedDict()

_Values = list[Any]

_ELEMENTWISE: dict[str, Callable] = {
    "add": np.add,
    "add_any": np.add,
    "and": operator.and_,
    "convert_element_type": np.asarray,
    "copy": np.asarray,
    "copy_p": np.asarray,
    "div": np.divide,
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.logical_not,
    "or": operator.or_,
    "select_n": lambda which, *cases: np.choose(np.asarray(which, int), cases),
    "sign": np.sign,
    "sub": np.subtract,
}
_RESHAPING = ("broadcast_in_dim", "expand_dims", "reshape", "squeeze")
_CALLS = ("closed_call", "core_call", "custom_jvp_call", "jit", "pjit")


_QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
"""Options with which XLA compiles a large program for a CPU in half of the time."""


def compiled(function: Callable, once: bool = False) -> Callable:
    """The function as one program.

    Programs are compared by their text, and the same is compiled once in a process:
    measuring a model again, or another of the same kind, only traces.

    Args:
        function: What to compile.
        once: Bool, whether it is called so seldom that optimizing takes longer.
    """
    jitted = jax.jit(function)
    known: dict[Any, Callable] = {}

    def run(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        signature = (structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if signature not in known:
            known[signature] = _executable(jitted.lower(*arguments), signature, once)
        return known[signature](*arguments)

    return run


def _executable(lowered: Any, signature: tuple, once: bool) -> Callable:
    text = hashlib.sha256(lowered.as_text().encode()).digest()
    # The text leaves out arguments that are not used, and a program still checks them.
    key = (text, signature, lowered.in_tree, lowered.out_tree, once)
    if key not in _executables:
        quick = once and jax.default_backend() == "cpu"
        _executables[key] = lowered.compile(_QUICK if quick else None)
    _executables.move_to_end(key)
    if len(_executables) > _MOST_EXECUTABLES:
        _executables.popitem(last=False)
    return _executables[key]


def _told_by_jax() -> Callable[[], Any]:
    """What JAX tells it with: in `jax.extend.core` of 0.10, before in `jax.core`."""
    home = jax.extend.core
    home = home if hasattr(home, "get_opaque_trace_state") else jax.core
    told: Callable = home.get_opaque_trace_state
    asks = "convention" in inspect.signature(told).parameters  # Up to 0.6.
    return functools.partial(told, convention="flax") if asks else told


_trace_state = _told_by_jax()


def trace_state() -> Any:
    """What differs between the body of a loop or a map and the code around it."""
    return _trace_state()


def differentiate(run: Callable, values: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """Gradients of a loss with respect to values and to tensors on the way to it.

    Args:
        run: Function of values and of a function `probe` that it passes tensors
            through; returns the loss and anything else.
        values: List of tensors.

    Returns:
        Tuple of what else `run` returned, the gradients with respect to the values,
        and those with respect to the probed tensors.
    """
    found: list[Any] = []

    def note(tensor: Any) -> Any:
        found.append(jax.ShapeDtypeStruct(tensor.shape, tensor.dtype))
        return tensor

    jax.eval_shape(lambda v: run(v, note)[0], values)
    zeros = [jnp.zeros(each.shape, each.dtype) for each in found]

    def probed(values: list[Any], added: list[Any]) -> Any:
        rest = iter(added)
        return run(values, lambda tensor: tensor + next(rest))

    (_, other), (of_values, of_probed) = jax.value_and_grad(
        probed, argnums=(0, 1), has_aux=True
    )(values, zeros)
    return other, of_values, of_probed


class _UnknownOperationError(Exception):
    """Raised for an operation that is not followed here."""


def make_updates(
    optimizer: Any,
    variables: list[Any],
    batches: list[tuple[float, ...]],
    seen: dict[str, Any],
) -> None:
    """Makes updates as one train step does; for arguments see `common.make_updates`."""
    held = [*variables, *optimizer.variables]

    def step(values: _Values, grads: _Values) -> Any:
        trained, rest = values[: len(variables)], values[len(variables) :]
        new = optimizer.stateless_apply(rest, grads, trained)
        return [*new[0], *new[1]], dict(seen)

    values = [variable.value for variable in held]
    steps = [[np.float32(g) for g in gradients] for gradients in batches]
    program, shapes = jax.make_jaxpr(step, return_shape=True)(values, steps[0])
    for gradients in steps:
        try:
            outputs = _followed(program, [*values, *gradients])
        except _UnknownOperationError:
            outputs = jax.tree.leaves(jax.jit(step)(values, gradients))
        values, noted = jax.tree.unflatten(jax.tree.structure(shapes), outputs)
    for variable, value in zip(held, values, strict=True):
        variable.assign(np.asarray(value))
    for name, numbers in noted.items():
        seen[name] = [float(number) for number in numbers]


def _followed(program: Any, arguments: _Values) -> _Values:
    """What a traced program returns."""
    known: dict[Any, Any] = {}
    known |= dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    known |= dict(zip(program.jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        literal = isinstance(atom, jax.extend.core.Literal)
        return np.asarray(atom.val if literal else known[atom])

    for equation in program.jaxpr.eqns:
        outputs = _computed(equation, [read(atom) for atom in equation.invars])
        for variable, value in zip(equation.outvars, outputs, strict=True):
            known[variable] = np.asarray(value, variable.aval.dtype)
    return [read(atom) for atom in program.jaxpr.outvars]


def _computed(equation: Any, inputs: _Values) -> _Values:
    """What one operation of a program returns."""
    name, parameters = equation.primitive.name, equation.params
    if name in _ELEMENTWISE:
        return [_ELEMENTWISE[name](*inputs)]
    if name in _RESHAPING and inputs[0].size == 1:
        return [np.full(equation.outvars[0].aval.shape, inputs[0].reshape(()))]
    if name == "concatenate":
        return [np.concatenate(inputs, parameters["dimension"])]
    if name == "reduce_and":
        return [np.all(inputs[0], tuple(parameters["axes"]))]
    if name == "integer_pow":
        return [inputs[0] ** parameters["y"]]
    if name == "rem":
        return [np.fmod(*inputs)]
    if name == "cond":
        branches, (which, *operands) = parameters["branches"], inputs
        return _followed(branches[int(which)], operands)
    if name in _CALLS:
        inner = parameters.get("jaxpr", parameters.get("call_jaxpr"))
        return _followed(inner, inputs)
    raise _UnknownOperationError(name)


def seed_tensor(words: np.ndarray) -> Any:
    """Seeds, uint32 `(num_draws, 2)`, in a form of which `bits` takes one entry."""
    return jnp.asarray(words)


def bits(seed: Any, rows: int, columns: int) -> Any:
    """Random int16 `(rows, columns)`; smaller arrays are the start of larger ones."""
    words = jax.random.bits(_key(seed), (rows, -(-columns // 2)), jnp.uint32)
    pairs = jax.lax.bitcast_convert_type(words, jnp.int16)
    return pairs.reshape(rows, -1)[:, :columns]


def uniform(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 in [0, 1) of shape `(rows, columns)`."""
    return jax.random.uniform(_key(seed), (rows, columns), jnp.float32)


def normal(seed: Any, rows: int, columns: int) -> Any:
    """Random float32 from N(0, 1) of shape `(rows, columns)`."""
    return jax.random.normal(_key(seed), (rows, columns), jnp.float32)


def _key(seed: Any) -> Any:
    return jax.random.wrap_key_data(seed, impl="threefry2x32")


def masked(x: Any, keep: Any, scale: float) -> Any:
    """`x * scale` where `keep`, else zero; `keep` broadcasts to `x`."""
    return jnp.where(keep, x * scale, jnp.zeros((), x.dtype))


def rows_from(x: Any, start: Any, rows: int) -> Any:
    """The `rows` entries of `x` along its first axis, from index `start` on."""
    if x.shape[0] == rows:
        return x
    return jax.lax.dynamic_slice_in_dim(x, start, rows, axis=0)


def compiled_reading(
    function: Callable[..., Any], variables: list[Any], static: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """`function` compiled; the variables' values are read again at every call.

    Args:
        function: Called with tensors by position and what is `static` by keyword.
        variables: Keras variables that it reads.
        static: Names of hashable keyword arguments.
    """

    def stateless(values: list[Any], *args: Any, **options: Any) -> Any:
        pairs = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            return function(*args, **options)

    jitted = jax.jit(stateless, static_argnames=static)

    def call(*args: Any, **options: Any) -> Any:
        return jitted([v.value for v in variables], *args, **options)

    return call


def traced(function: Callable[..., Any], *args: Any) -> None:
    """Runs the Python code of `function` once, without computing anything."""

    def stateless(*tensors: Any) -> Any:
        with keras.StatelessScope():
            return function(*tensors)

    jax.eval_shape(stateless, *args)
