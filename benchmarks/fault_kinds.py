"""Faults to inject into healthy programs, and the findings that name each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from fault_programs import Program


@dataclass(frozen=True, eq=False)
class Fault:
    """One kind of fault.

    Attributes:
        name: Str.
        named_by: Set of kinds of findings that name the cause.
        inject: Function of a program that returns the faulty one, or None where the
            fault makes no sense for it.
    """

    name: str
    named_by: set[str]
    inject: Callable[[Program], Program | None]


def _scaled(factor: float) -> Callable[[Any, Any], tuple[Any, Any]]:
    return lambda x, y: (x * np.float32(factor), y)


def _where(
    condition: Callable[[Program], bool], **changes: Any
) -> Callable[[Program], Program | None]:
    return lambda p: p.but(**changes) if condition(p) else None


def _always(program: Program) -> bool:
    return True


def _is_dense(p: Program) -> bool:
    return p.body in (
        "dense",
        "convolutions",
        "subclassed",
        "branches",
        "residual",
        "bag",
    )


def _is_image(p: Program) -> bool:
    return p.data in ("digits", "mnist", "fashion")


def _is_table(p: Program) -> bool:
    return p.data in ("wine", "iris", "cancer", "diabetes", "waves", "friedman")


def _is_classes(p: Program) -> bool:
    return p.task == "classes"


def _is_binary(p: Program) -> bool:
    return p.task == "binary"


def _is_quantities(p: Program) -> bool:
    return p.task == "quantities"


def _is_sgd(p: Program) -> bool:
    return p.optimizer == "SGD"


def _uneven(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    scales = 10.0 ** np.linspace(-2, 4, x.shape[1])
    return (x * scales + 2 * scales).astype("float32"), y


def _with_nan(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    x = np.array(x)
    x.reshape(len(x), -1)[::50, 0] = np.nan
    return x, y


def _shuffled(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    return x, np.random.default_rng(1).permutation(y)


def _sorted(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    order = np.argsort(y, kind="stable")
    return x[order], y[order]


def _noise(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    return np.random.default_rng(len(x)).normal(size=x.shape).astype("float32"), y


FAULTS = [
    Fault(
        "pixels from 0 to 255",
        {"unscaled inputs"},
        _where(_is_image, change=_scaled(255.0)),
    ),
    Fault(
        "columns of other scales",
        {"unscaled inputs", "uneven inputs"},
        _where(_is_table, change=_uneven),
    ),
    Fault(
        "NaN in the inputs",
        {"non-finite inputs"},
        _where(lambda p: p.data != "words", change=_with_nan),
    ),
    Fault(
        "labels shuffled",
        {"labels without information"},
        _where(lambda p: p.task != "images", change=_shuffled),
    ),
    Fault(
        "inputs are noise",
        {"labels without information"},
        _where(lambda p: _is_image(p) or _is_table(p), change=_noise),
    ),
    Fault(
        "sorted and not shuffled",
        {"sorted samples"},
        _where(
            lambda p: _is_classes(p) or _is_binary(p), change=_sorted, shuffle=False
        ),
    ),
    Fault(
        "softmax on one unit",
        {"softmax over one unit"},
        _where(lambda p: _is_binary(p) and not p.last, last={"activation": "softmax"}),
    ),
    Fault(
        "relu on the output",
        {
            "ReLU before a regression loss",
            "logits with from_logits=False",
            "targets out of reach",
        },
        _where(
            lambda p: p.task in ("quantities", "binary", "classes"),
            last={"activation": "relu"},
        ),
    ),
    Fault(
        "tanh on the output",
        {"targets out of reach", "logits with from_logits=False"},
        _where(
            lambda p: p.task in ("binary", "classes", "quantities"),
            last={"activation": "tanh"},
        ),
    ),
    Fault(
        "sigmoid for quantities",
        {"targets out of reach"},
        _where(_is_quantities, last={"activation": "sigmoid"}),
    ),
    Fault(
        "no activation on the output",
        {"logits with from_logits=False"},
        _where(
            lambda p: _is_binary(p) or _is_classes(p), last={"activation": "linear"}
        ),
    ),
    Fault(
        "mse with numbers of classes",
        {"regression loss for classes", "targets out of reach"},
        _where(lambda p: _is_classes(p) and p.change is None, loss="mse"),
    ),
    Fault(
        "binary crossentropy for ten classes",
        {"labels out of range"},
        _where(
            lambda p: _is_classes(p) and p.change is None,
            loss="binary_crossentropy",
            last={"units": 1, "activation": "sigmoid"},
        ),
    ),
    Fault(
        "labels of 1 and 2",
        {"labels out of range"},
        _where(
            lambda p: _is_binary(p) and p.loss is None, change=lambda x, y: (x, y + 1)
        ),
    ),
    Fault(
        "no activation in hidden layers",
        {"no non-linearity", "linear layers in a row"},
        _where(
            lambda p: p.data in ("circles", "moons", "waves", "friedman"),
            settings={"activation": "linear"},
        ),
    ),
    Fault(
        "softmax in hidden layers",
        {"softmax between layers"},
        _where(_is_dense, settings={"activation": "softmax"}),
    ),
    Fault(
        "deep sigmoid",
        {"sigmoid in hidden layers", "vanishing gradient"},
        lambda p: (
            p.but(settings={"activation": "sigmoid"}, widths=(p.widths[0],) * 8)
            if p.body in ("dense", "subclassed")
            else None
        ),
    ),
    Fault(
        "dropout of 0.9",
        {"dropout rate too high"},
        _where(_is_dense, extra={"dropout": 0.9}),
    ),
    Fault(
        "dropout on the output",
        {"dropout on the output"},
        _where(_always, extra={"last_dropout": 0.5}),
    ),
    Fault(
        "L2 of 1",
        {"regularization outweighs the loss"},
        lambda p: (
            p.but(settings={"kernel_regularizer": keras.regularizers.L2(1.0)})
            if _is_dense(p)
            else None
        ),
    ),
    Fault(
        "batch norm with batches of 1",
        {"BatchNormalization with tiny batches"},
        _where(
            lambda p: _is_dense(p) and p.data not in ("mnist", "fashion"),
            extra={"batch_norm": True},
            batch_size=1,
            epochs=3,
        ),
    ),
    Fault(
        "zeros as weights",
        {"symmetric units"},
        _where(_is_dense, settings={"kernel_initializer": "zeros"}),
    ),
    Fault(
        "ones as weights",
        {"symmetric units"},
        _where(_is_dense, settings={"kernel_initializer": "ones"}),
    ),
    Fault(
        "weights too large",
        {"initial weights too large"},
        lambda p: (
            p.but(
                settings={
                    "kernel_initializer": keras.initializers.RandomNormal(stddev=5.0)
                }
            )
            if _is_dense(p)
            else None
        ),
    ),
    Fault(
        "weights too small",
        {"initial weights too small", "vanishing gradient"},
        lambda p: (
            p.but(
                settings={
                    "kernel_initializer": keras.initializers.RandomNormal(stddev=1e-4)
                },
                widths=(p.widths[0],) * 6,
            )
            if p.body in ("dense", "subclassed")
            else None
        ),
    ),
    Fault(
        "biases of -10",
        {"initial biases far from zero", "dead units", "saturated units"},
        lambda p: (
            p.but(settings={"bias_initializer": keras.initializers.Constant(-10.0)})
            if _is_dense(p)
            else None
        ),
    ),
    Fault(
        "learning rate 1000 times too high",
        {"learning rate too high"},
        lambda p: p.but(rate=p.rate * 1000),
    ),
    Fault(
        "learning rate 1000 times too low",
        {"learning rate too low"},
        lambda p: p.but(rate=p.rate / 1000),
    ),
    Fault(
        "negative learning rate",
        {"learning rate not positive"},
        lambda p: p.but(rate=-p.rate),
    ),
    Fault(
        "clipnorm of 1e-5",
        {"clipping stops learning"},
        _where(_is_sgd, options={"clipnorm": 1e-5}),
    ),
    Fault(
        "clipvalue of 1e-6",
        {"clipping stops learning"},
        lambda p: (
            p.but(optimizer="SGD", rate=0.05, options={"clipvalue": 1e-6})
            if p.optimizer == "Adam" and _is_image(p)
            else None
        ),
    ),
    Fault(
        "targets of hundreds",
        {"unscaled targets"},
        _where(_is_quantities, change=lambda x, y: (x, y * 70.0 + 150.0)),
    ),
    Fault(
        "validation data unscaled",
        {"validation data on another scale"},
        _where(
            lambda p: _is_image(p) or _is_table(p),
            extra={"validation_scale": 255.0},
        ),
    ),
    Fault(
        "hidden layers frozen",
        {"frozen layers that were never trained", "everything is frozen"},
        _where(lambda p: _is_dense(p) and p.task != "images", extra={"frozen": True}),
    ),
]
