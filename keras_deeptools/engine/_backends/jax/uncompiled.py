"""A handful of operations on JAX without XLA.

JAX compiles every operation, some twenty milliseconds for each that is new. Where two
numbers are to be computed once, the program is traced and followed in numpy instead.
"""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import numpy as np

Values = list[Any]

ELEMENTWISE: dict[str, Callable] = {
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
RESHAPING = ("broadcast_in_dim", "expand_dims", "reshape", "squeeze")
CALLS = ("closed_call", "core_call", "custom_jvp_call", "jit", "pjit")


class UnknownOperationError(Exception):
    """Raised for an operation that is not followed here."""


def make_updates(
    optimizer: Any,
    variables: list[Any],
    batches: list[tuple[float, ...]],
    seen: dict[str, Any],
) -> None:
    """Makes updates as one train step does; for arguments see `common.make_updates`."""
    held = [*variables, *optimizer.variables]

    def step(values: Values, grads: Values) -> Any:
        trained, rest = values[: len(variables)], values[len(variables) :]
        new = optimizer.stateless_apply(rest, grads, trained)
        return [*new[0], *new[1]], dict(seen)

    values = [variable.value for variable in held]
    steps = [[np.float32(g) for g in gradients] for gradients in batches]
    program, shapes = jax.make_jaxpr(step, return_shape=True)(values, steps[0])
    for gradients in steps:
        try:
            outputs = _followed(program, [*values, *gradients])
        except UnknownOperationError:
            outputs = jax.tree.leaves(jax.jit(step)(values, gradients))
        values, noted = jax.tree.unflatten(jax.tree.structure(shapes), outputs)
    for variable, value in zip(held, values, strict=True):
        variable.assign(np.asarray(value))
    for name, numbers in noted.items():
        seen[name] = [float(number) for number in numbers]


def _followed(program: Any, arguments: Values) -> Values:
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


def _computed(equation: Any, inputs: Values) -> Values:
    """What one operation of a program returns."""
    name, parameters = equation.primitive.name, equation.params
    if name in ELEMENTWISE:
        return [ELEMENTWISE[name](*inputs)]
    if name in RESHAPING and inputs[0].size == 1:
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
    if name in CALLS:
        inner = parameters.get("jaxpr", parameters.get("call_jaxpr"))
        return _followed(inner, inputs)
    raise UnknownOperationError(name)
