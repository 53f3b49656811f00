"""One batch again, layer by layer, until something is not finite."""

from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_deeptools.diagnosis._training_doctor.user_lines import (
    Numbers,
    UserLine,
    UserLines,
    bad_rows,
    is_bad,
    numbers_of,
)
from keras_deeptools.engine import Capture, LayerCall
from keras_deeptools.engine._keras_private.training import loss_given
from keras_deeptools.engine._passes.layer_call import Taps


@dataclass(frozen=True)
class Origin:
    """Where something that is not finite arose.

    Attributes:
        part: `"inputs"`, `"weights"`, `"forward pass"`, `"loss"`, `"gradient"` or
            `"update"`.
        where: Str, the layer or the loss.
        kind: Str, what kind of layer it is; of a gradient, where it is still finite.
        operation: Str, its source or its name; of a gradient, the layers on its way.
        place: Str, function and line; empty for what is not the user's own code.
        operands: Tuple of `Numbers`, what went into it.
        rows: Tuple of ints, the samples of the batch in which it is not finite.
        dtype: Str, of what came out.
    """

    part: str
    where: str
    kind: str = ""
    operation: str = ""
    place: str = ""
    operands: tuple[Numbers, ...] = ()
    rows: tuple[int, ...] = ()
    dtype: str = "float32"


class _NotFiniteError(Exception):
    """Ends a pass where something is not finite."""


@dataclass(eq=False)
class _Pass:
    """What is known of a pass that runs."""

    lines: UserLines
    arguments: dict[int, Any] = field(default_factory=dict)
    calls: list[LayerCall] = field(default_factory=list)
    bad: LayerCall | None = None
    before: Any = None
    after: Any = None
    line: UserLine | None = None

    def called(self, call: LayerCall, arguments: tuple[Any, ...]) -> None:
        self.arguments[id(call)] = arguments

    def returned(self, call: LayerCall, before: Any, after: Any) -> None:
        self.calls.append(call)
        if is_bad(after) or is_bad(before):
            self.bad, self.before, self.after = call, before, after
            self.line = self.lines.current()
            raise _NotFiniteError


def replayed(model: keras.Model, batch: Any) -> Origin | None:
    """Where something that is not finite first arises on a batch, or None.

    Call it inside of a snapshot: dropout, batch statistics and metrics go on. Layers
    run one by one, without compilation, as in training.

    Args:
        model: Built `keras.Model` with the weights that the batch met.
        batch: `x`, `(x, y)` or `(x, y, sample_weight)` of numpy arrays.
    """
    parts = keras.utils.unpack_x_y_sample_weight(batch)
    for name, part in zip(("x", "y", "sample_weight"), parts, strict=True):
        if part is not None and is_bad(keras.tree.flatten(part)):
            return Origin("inputs", name)
    x, y, sample_weight = (_tensors(part) for part in parts)
    lost = [v.path for v in model.variables if is_bad(v.value)]
    if lost:
        return Origin("weights", lost[0])
    lines = UserLines()
    run = _Pass(lines)
    predicted = None
    with Taps(model, lambda call, value: value, run.returned, called=run.called):
        try:
            with lines:
                predicted = model(x, training=True)
        except _NotFiniteError:
            pass
    if run.bad is not None:
        return _in_forward_pass(model, x, run, lines.first())
    if is_bad(predicted):
        return _in_line("forward pass", model.name, lines.first(), predicted)
    lines = UserLines()
    with lines:
        loss = model.compute_loss(
            x=x, y=y, y_pred=predicted, sample_weight=sample_weight, training=True
        )
    if is_bad(loss):
        return _in_loss(model, y, predicted, lines.first())
    return _in_gradient(model, x, y, run.calls)


def _tensors(values: Any) -> Any:
    return keras.tree.map_structure(
        lambda v: None if v is None else ops.convert_to_tensor(v), values
    )


def _in_forward_pass(
    model: keras.Model, x: Any, run: _Pass, line: UserLine | None
) -> Origin:
    call = run.bad
    assert call is not None
    arguments = run.arguments.get(id(call), ())
    path, _, name = call.name.rpartition("/")
    if is_bad(keras.tree.flatten(list(arguments))):
        # It gets what is not finite already, from between the layers.
        line = line or run.line
        if line is None and not run.calls[:-1]:
            return _in_cast(call, x, arguments)
        return _in_line("forward pass", path or model.name, line, arguments)
    if line is not None:
        return _in_line("forward pass", call.name, line, run.after)
    kind = type(call.layer).__name__
    fused = call.activation is not None and not is_bad(run.before)
    operation = getattr(call.activation, "__name__", "activation") if fused else kind
    given = {"input": run.before} if fused else _named(arguments)
    if not fused:
        given |= {role: variable.value for role, variable in call.variables.items()}
    return Origin(
        "forward pass",
        call.name,
        kind,
        operation,
        "",
        _numbers(given.items()),
        bad_rows(_first(run.after)),
        keras.backend.standardize_dtype(_first(run.after).dtype),
    )


def _in_cast(call: LayerCall, x: Any, arguments: Any) -> Origin:
    """The first layer gets inputs in another type than they were given in."""
    dtype = keras.backend.standardize_dtype(_first(arguments).dtype)
    return Origin(
        "forward pass",
        call.name,
        operation=f"cast to {dtype}",
        operands=_numbers([("x", each) for each in keras.tree.flatten(x)]),
        rows=bad_rows(_first(arguments)),
        dtype=dtype,
    )


def _in_line(part: str, where: str, line: UserLine | None, result: Any) -> Origin:
    rows = bad_rows(_first(result))
    dtype = keras.backend.standardize_dtype(_first(result).dtype)
    if line is None:
        return Origin(part, where, rows=rows, dtype=dtype)
    operation, operands = line.operation()
    return Origin(
        part, where, "", operation, line.place, _numbers(operands), rows, dtype
    )


def _in_loss(
    model: keras.Model, y: Any, predicted: Any, line: UserLine | None
) -> Origin:
    """The loss function, or what layers add to it."""
    if line is not None:
        return _in_line("loss", "loss", line, predicted)
    if is_bad(list(model.losses)):
        weights = {v.path: v.value for v in model.trainable_variables}
        most = max(_numbers(weights.items()), key=lambda each: each.largest)
        return Origin("loss", "penalties of layers", operands=(most,))
    loss = loss_given(model)
    name = getattr(loss, "name", None) or getattr(loss, "__name__", None) or str(loss)
    given = {"predictions": _first(predicted), "targets": _first(y)}
    return Origin("loss", "loss", operation=name, operands=_numbers(given.items()))


def _in_gradient(
    model: keras.Model, x: Any, y: Any, calls: list[LayerCall]
) -> Origin | None:
    capture = Capture(
        model,
        backward=lambda call, gradient: ops.all(ops.isfinite(gradient)),
        weights=lambda variable, gradient: ops.all(ops.isfinite(gradient)),
        training=True,
    )
    found = capture(x, y)
    names = [call.name for call in found.calls]
    bad = [
        number
        for number, finite in enumerate(found.backward)
        if finite is not None and not finite
    ]
    if bad:
        after = names[bad[-1] + 1 :]
        known = [
            number
            for number, finite in enumerate(found.backward)
            if number > bad[-1] and finite is not None
        ]
        end = names[known[0]] if known else "the loss"
        inside = after[: known[0] - bad[-1] - 1] if known else after
        return Origin("gradient", names[bad[-1]], end, ", ".join(inside))
    wrong = [path for path, finite in found.weights.items() if not finite]
    return Origin("gradient", wrong[-1]) if wrong else None


def _named(arguments: tuple[Any, ...]) -> dict[str, Any]:
    flat = keras.tree.flatten(list(arguments))
    if len(flat) == 1:
        return {"input": flat[0]}
    return {f"input {number + 1}": value for number, value in enumerate(flat)}


def _numbers(named: Any) -> tuple[Numbers, ...]:
    found = [numbers_of(name, value) for name, value in named]
    return tuple(each for each in found if each is not None)


def _first(values: Any) -> Any:
    flat = [each for each in keras.tree.flatten(values) if ops.is_tensor(each)]
    bad = [each for each in flat if is_bad(each)]
    return next(iter([*bad, *flat]))
