"""In words: where something that is not finite arose, why, and what to change."""

from dataclasses import dataclass

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._training_doctor.last_good import Replay
from keras_deeptools.diagnosis._training_doctor.replay import Origin
from keras_deeptools.diagnosis._training_doctor.user_lines import Numbers

LARGEST = {"float16": 65504.0, "bfloat16": 3.4e38, "float32": 3.4e38}
LARGEST_EXPONENT = {"float16": 11.0, "bfloat16": 88.0, "float32": 88.0}
GROWN = 30.0
"""Weights that have grown by so much have exploded."""

MOST_LISTED = 10
IEEE = "IEEE 754 arithmetic"


@dataclass(frozen=True)
class Reason:
    """Why an operation is not finite.

    Attributes:
        why: Str, a sentence.
        remedy: Str.
        code: Str.
        is_own: Bool, whether the operation itself is at fault, whatever the weights.
    """

    why: str
    remedy: str
    code: str = ""
    is_own: bool = True


def finding_of(replay: Replay, step: int | None, epoch: int) -> Finding | None:
    """What a replay showed, as a finding; None where it showed nothing.

    Args:
        replay: `Replay`.
        step: Int or None, the update at which gradients were not finite first.
        epoch: Int >= 1.
    """
    origin = replay.origin
    if origin is None or origin.part == "weights":
        return None
    if origin.part == "inputs":
        return Finding(
            "non-finite inputs",
            origin.where,
            f"`{origin.where}` holds numbers that are not finite.",
            "Remove or fill these samples: `np.isfinite` finds them.",
            epoch=epoch,
            confidence=0.99,
            reference=IEEE,
        )
    reason = reason_of(origin)
    exploded = replay.growth > GROWN
    own = reason.is_own and not (exploded and not _is_undefined(origin))
    grown = (
        f" The weights had grown to {replay.growth:.3g} times their norm at the start."
        if exploded
        else ""
    )
    remedy = reason.remedy
    if exploded:
        remedy = f"Lower the learning rate, or clip gradients. {remedy}"
    return Finding(
        "non-finite operation" if own else "non-finite loss",
        origin.where,
        f"{_what(origin)} {reason.why}{grown}",
        remedy,
        evidence={
            "growth_of_weights": replay.growth,
            "updates_replayed": replay.num_updates,
            "largest_operand": max((n.largest for n in origin.operands), default=0.0),
        },
        code=reason.code if own else CLIPPER,
        step=step,
        epoch=epoch,
        samples=origin.rows[:MOST_LISTED],
        confidence=0.97 if own else 0.95,
        reference=IEEE,
    )


def of_data(fault: str, where: str, epoch: int) -> Finding:
    """Data that are not finite, which no operation needs to be blamed for.

    Args:
        fault: Str, what is wrong with them.
        where: Str, `"x"` or `"y"`.
        epoch: Int >= 1.
    """
    return Finding(
        "non-finite inputs" if where == "x" else "non-finite targets",
        where,
        fault,
        epoch=epoch,
        confidence=0.99,
        reference=IEEE,
    )


CLIPPER = "keras_deeptools.callbacks.GradientClipper(global_norm=1.0)"


def reason_of(origin: Origin) -> Reason:
    """Why an operation gives NaN or infinity for what it got.

    Args:
        origin: `Origin`.
    """
    if origin.part == "gradient":
        return Reason(
            "The loss is finite, and its gradient is not.",
            "Look for operations with an infinite slope at what they get, such as "
            "sqrt or a norm at 0, and for divisions inside of `where`.",
            "keras.ops.sqrt(keras.ops.maximum(x, 1e-7))",
        )
    if origin.part == "update":
        return Reason(
            "Loss and gradients are finite, and the weights are not after the update.",
            "Look at the learning rate and the other settings of the optimizer.",
        )
    name, operands = origin.operation.lower(), origin.operands
    divides = " / " in name or any(word in name for word in ("divide", "reciprocal"))
    if divides and operands and operands[-1].zeros:
        return Reason(
            f"It divides by zero: {operands[-1]}.",
            "Add a small number to what it divides by.",
            "x / (total + keras.config.epsilon())",
        )
    least = min(operands, key=lambda each: each.least, default=None)
    if least is not None and "log" in name and least.least <= 0:
        what = "negative numbers" if least.least < 0 else "zero"
        return Reason(
            f"It takes the logarithm of {what}: {least}.",
            "Keep what it gets above zero.",
            "keras.ops.log(keras.ops.maximum(x, keras.config.epsilon()))",
        )
    roots = ("sqrt", "pow", "**", "norm")
    if least is not None and any(word in name for word in roots):
        if least.least < 0 or least.zeros:
            return Reason(
                f"It takes a root or a power of zero or negative numbers: {least}.",
                "Keep what it gets above zero.",
                "keras.ops.sqrt(keras.ops.maximum(x, keras.config.epsilon()))",
            )
    return _overflow(origin, name) or Reason(
        _got(operands) or "What it got is finite.",
        "Look at what this operation does with such numbers.",
    )


def _overflow(origin: Origin, name: str) -> Reason | None:
    operands = origin.operands
    most = max(operands, key=lambda each: each.largest, default=None)
    if most is None:
        return None
    limit = LARGEST.get(origin.dtype, LARGEST["float32"])
    if "exp" in name and most.most > LARGEST_EXPONENT.get(origin.dtype, 88.0):
        return Reason(
            f"It overflows {origin.dtype}: the exponential of {most.most:.3g} is more "
            f"than {limit:.3g}. It gets {most}.",
            "Clip or normalize what it gets, or use softplus.",
            "keras.ops.exp(keras.ops.minimum(x, 10.0))",
        )
    if origin.dtype == "float16":
        return Reason(
            f"It overflows float16, whose largest number is 65504. {_got(operands)}",
            "Scale the inputs, normalize between the layers, or run this layer in "
            "bfloat16 or float32.",
            'layer = keras.layers.Dense(units, dtype="float32")',
        )
    if most.largest > 1e15:
        return Reason(
            f"It overflows {origin.dtype}. {_got(operands)}",
            "Scale what it gets.",
        )
    return None


def _is_undefined(origin: Origin) -> bool:
    """Whether the operation has no value there, of whatever size the weights are."""
    why = reason_of(origin).why
    return any(word in why for word in ("divides by zero", "logarithm", "a root"))


def _got(operands: tuple[Numbers, ...]) -> str:
    return f"It gets {'; '.join(map(str, operands))}." if operands else ""


def _what(origin: Origin) -> str:
    if origin.part == "gradient":
        through = f" (through {origin.operation})" if origin.operation else ""
        end = f" and `{origin.kind}`" if origin.kind else ""
        return (
            f"The first NaN or infinity arises in the gradient, between "
            f"`{origin.where}`{end}{through}."
        )
    if origin.part == "update":
        return "The first NaN or infinity arises in the update of the weights."
    parts = {"forward pass": "in the forward pass, in layer", "loss": "in"}
    kind = f" ({origin.kind})" if origin.kind else ""
    name = f"`{origin.where}`" if origin.part == "forward pass" else "the loss"
    operation = ""
    if origin.operation and origin.operation != origin.kind:
        operation = f", operation `{origin.operation}`"
    place = f" ({origin.place})" if origin.place else ""
    return (
        f"The first NaN or infinity arises {parts[origin.part]} "
        f"{name}{kind}{operation}{place}."
    )
