"""Layer-sequential unit-variance initialization, in one walk over the model."""

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.initializers._scale_walk import (
    ScaleWalk,
    WalkRow,
    check_kernels,
    check_scaling,
    scaled_layer,
)
from keras_deeptools.initializers._scaling_report import (
    ScalingReport,
    merged,
)
from keras_deeptools.statistics._input_findings import findings_of_arrays


def orthonormal(kernel: Any, seed: int) -> np.ndarray:
    """An array of a kernel's shape that is orthonormal along its shorter side.

    All axes except the last are taken as one, as in Keras' `Orthogonal`. The numbers
    are drawn with numpy, because backends compile a decomposition for every shape. A
    depthwise kernel gets a unit vector for each channel.

    Args:
        kernel: `keras.Variable` with at least two dimensions.
        seed: Int.

    Returns:
        Float32 array.

    Reference:
        Saxe et al., 2014. https://arxiv.org/abs/1312.6120
    """
    shape = tuple(kernel.shape)
    random = np.random.default_rng(seed)
    if kernel.name == "depthwise_kernel":
        drawn = random.normal(size=shape)
        taps = tuple(range(len(shape) - 2))
        norms = np.sqrt(np.square(drawn).sum(axis=taps, keepdims=True))
        return (drawn / norms).astype("float32")
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    drawn = random.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    # With these signs the draw is uniform over all orthogonal matrices.
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape).astype("float32")


@contextlib.contextmanager
def restored_on_error(*walks: ScaleWalk) -> Iterator[None]:
    """Restores kernels and biases if the block ends in an error."""
    held = [v for walk in walks for v in [*walk.kernels, *walk.biases]]
    variables = [variable for variable in held if variable is not None]
    values = [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]
    try:
        yield
    except BaseException:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        raise


def draw_orthonormal(walk: ScaleWalk, seed: int | None) -> None:
    """Gives every kernel orthonormal values, each from its own seed."""
    seeds = np.random.SeedSequence(seed).generate_state(len(walk.kernels))
    for kernel, each in zip(walk.kernels, seeds, strict=True):
        kernel.assign(orthonormal(kernel, int(each) % 2**31))


def apply_scales(
    walk: ScaleWalk, scales: np.ndarray, bias_scales: np.ndarray | None = None
) -> None:
    """Multiplies the kernels and, where given, the biases by their scales."""
    pairs = list(zip(walk.kernels, scales, strict=True))
    if bias_scales is not None:
        pairs += zip(walk.biases, bias_scales, strict=True)
    for variable, scale in pairs:
        if variable is not None and scale != 1:
            # On the host, no operation has to be compiled for every shape.
            value = np.array(keras.ops.convert_to_numpy(variable.value))
            variable.assign((value * scale).astype(value.dtype))


class SharedSteps:
    """Steps towards the scale of a kernel that is used several times.

    Its pooled standard deviation grows like the scale to a power between one (parallel
    uses) and the number of uses (one after another); two steps determine the power.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._last: dict[int, tuple[float, float]] = {}

    def __call__(self, kernel: int, std: float, uses: int) -> float:
        error = math.log(std / self._target)
        power = float(uses)
        if kernel in self._last:
            step, previous = self._last[kernel]
            if abs(step) > 1e-6:
                power = min(max((error - previous) / step, 1.0), power)
        self._last[kernel] = (-error / power, error)
        return math.exp(-error / power)


def lsuv(
    model: keras.Model,
    x: Any,
    *,
    target: float = 1.0,
    tolerance: float = 0.05,
    max_iterations: int = 20,
    orthogonal: bool = False,
    seed: int | None = None,
    verbose: str | int = "auto",
) -> ScalingReport:
    """Scales the weights of every layer to unit variance of its output on a batch.

    Measuring works even if formulas for the variance of weights do not apply (depthwise
    convolutions, unusual activations, skips). All layers are scaled in one walk over
    the model, compiled as one program: each layer is scaled when the walk reaches it,
    after all layers before it have their scale. That is exact for linear layers, so
    that a second walk only checks it.

    The function scales the pre-activation, the output before a fused activation, of
    every layer with a trainable kernel: dense and convolutional layers, also inside
    attention, nested and subclassed models. Dropout is off, and BatchNormalization
    works as at inference. Softmax outputs, embeddings, recurrent layers, layers inside
    of loops (`TimeDistributed`), frozen layers, normalizations, layers that normalize
    their kernel, and layers whose output does not vary (zero kernels) are left alone. A
    layer that is used several times gets one scale, with which the variance pooled over
    its uses is the target; this takes some more walks.

    Biases stay as they are; a bias is scaled with its kernel only if the bias alone
    varies more than the target allows. For a separable convolution, the pointwise
    kernel is scaled.

    In a model that has a `train_step` and no `call`, such as a GAN, the networks that
    take `x` are scaled. Layers whose weights have an unknown meaning are left alone;
    the report names all layers that were left alone.

    Args:
        model: `keras.Model`. A model that is not built is built from `x`, with the
            weights that `fit` would begin with.
        x: Inputs, scaled as in training: everything that `fit` takes, such as arrays,
            lists or dicts of them, a `tf.data.Dataset`, `PyDataset`, torch `DataLoader`
            or generator. Some batches are read from it (one from a generator, which
            does not yield it again). A few dozen samples are enough. The report says
            what is unusual about the inputs, such as pixels that were not scaled.
        target: Float > 0, the standard deviation to reach.
        tolerance: Float in (0, 1), relative deviation from the target that counts as
            reached.
        max_iterations: Int >= 1, how often scales may be chosen. Linear layers that are
            used once need one iteration.
        orthogonal: Bool. Whether all kernels are first replaced by new, orthonormal
            ones, as in the paper.
        seed: Int or None, for `orthogonal`.
        verbose: `"auto"`, 0 (silent) or 1 (progress bar).

    Returns:
        `ScalingReport`: for each layer the standard deviation before and after.

    Raises:
        TypeError: If `model` is not a Keras model, or Keras does not take the data.
        ValueError: If the model has no layers with kernels, the data do not fit, or
            outputs are not finite. The weights are then unchanged, as after any error
            or Ctrl-C.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.initializers import lsuv
    >>> hidden = [keras.layers.Dense(32, "relu") for _ in range(10)]
    >>> model = keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(1)])
    >>> report = lsuv(model, np.random.default_rng(0).normal(size=(64, 8)), verbose=0)
    >>> [round(layer.std_after, 3) for layer in report.layers] == [1.0] * 11
    True

    Reference:
        Mishkin and Matas, 2016, algorithm 1. https://arxiv.org/abs/1511.06422. In the
        paper, each layer is scaled in separate passes until it is within the tolerance.
    """
    check_scaling("lsuv", target, tolerance, max_iterations, verbose)
    batch = checked_batch("lsuv", model, x)
    walks = [ScaleWalk(network, target) for network in batch.networks]
    check_kernels("lsuv", model, walks)
    bar = keras.utils.Progbar(
        3 * len(walks), verbose=0 if verbose == 0 else 1, unit_name="walk"
    )
    settings = (target, tolerance, max_iterations)
    with restored_on_error(*walks):
        reports = [
            _scaled(walk, batch.x, orthogonal, seed, bar, *settings) for walk in walks
        ]
    others = dict.fromkeys(batch.others, "takes other inputs")
    named = zip(batch.networks, reports, strict=True)
    return merged(
        [("" if it is model else it.name, report) for it, report in named],
        others,
        findings_of_arrays(batch.x),
    )


def _scaled(
    walk: ScaleWalk,
    x: Any,
    orthogonal: bool,
    seed: int | None,
    bar: Any,
    target: float,
    tolerance: float,
    max_iterations: int,
) -> ScalingReport:
    """Scales one network."""
    before = walk(x)
    bar.add(1)
    if orthogonal:
        draw_orthonormal(walk, seed)
    uses = np.bincount([r.kernel for r in before], minlength=len(walk.kernels))
    total, rows, iterations, invariant = _scale(
        walk, x, uses, target, tolerance, max_iterations
    )
    bar.add(2)
    report = ScalingReport(
        tuple(
            scaled_layer(
                old,
                new,
                total,
                note=_note(new, rows),
            )
            for old, new in zip(before, rows, strict=True)
            if new.varies and new.kernel not in invariant
        ),
        target,
        tolerance,
        iterations,
        {
            **walk.exempt,
            **walk.not_reached(rows),
            **{row.call.name: "does not vary" for row in rows if not row.varies},
            **{
                row.call.name: "normalizes its kernel"
                for row in rows
                if row.kernel in invariant
            },
        },
        findings=tuple(walk.findings),
    )
    missed = [
        row
        for row in pooled(rows)
        if row[0] not in invariant and not _near(row[1], target, tolerance)
    ]
    if missed:
        warnings.warn(
            f"lsuv: {len(missed)} kernels are not within {tolerance:.0%} of the target "
            f"after {iterations} iterations, for instance that of "
            f"{rows[missed[0][2]].call.name!r}: {missed[0][1]:.3g}. See the report.",
            stacklevel=3,
        )
    return report


def pooled(rows: list[WalkRow]) -> list[tuple[int, float, int]]:
    """For each kernel: its index, pooled standard deviation, and first `WalkRow`."""
    calls: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if row.varies:
            calls.setdefault(row.kernel, []).append(index)
    return [
        (kernel, math.sqrt(np.mean([rows[i].std ** 2 for i in own])), own[0])
        for kernel, own in calls.items()
    ]


def _scale(
    walk: ScaleWalk,
    x: Any,
    uses: np.ndarray,
    target: float,
    tolerance: float,
    max_iterations: int,
) -> tuple[np.ndarray, list[WalkRow], int, set[int]]:
    """Scales until every kernel is near its target.

    Returns the total scales, the last list of `WalkRow`, the number of iterations, and
    the kernels whose scale makes no difference, which are left as they were.
    """
    total = np.ones(len(walk.kernels))
    steps = SharedSteps(target)
    exact = uses == 1
    invariant: set[int] = set()
    rows: list[WalkRow] = []
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        rows = walk(x, exact=exact)
        _check_finite(rows)
        scales, bias_scales = np.ones((2, len(total)))
        for row in rows:
            if exact[row.kernel]:
                scales[row.kernel] = row.scale
                bias_scales[row.kernel] = row.bias_scale
        for kernel, std, _ in pooled(rows):
            if not exact[kernel] and kernel not in invariant:
                scales[kernel] = steps(kernel, std, int(uses[kernel]))
        apply_scales(walk, scales, bias_scales)
        total *= scales
        rows = walk(x)
        _check_finite(rows)
        found = {
            row.kernel
            for row in rows
            if exact[row.kernel] and _is_unmoved(row.std, scales[row.kernel], target)
        }
        if found:
            back = [1 / total[k] if k in found else 1.0 for k in range(len(total))]
            apply_scales(walk, np.array(back))
            total *= back
            exact[list(found)] = False
            invariant |= found
        # Half of the tolerance, so that rounding elsewhere does not exceed it.
        elif all(
            _near(std, target, tolerance / 2)
            for kernel, std, _ in pooled(rows)
            if kernel not in invariant
        ):
            break
    return total, rows, iterations, invariant


def _near(std: float, target: float, tolerance: float) -> bool:
    return abs(std - target) <= tolerance * target


def _is_unmoved(std: float, scale: float, target: float) -> bool:
    """Whether the output of a layer is the same as before its kernel was scaled."""
    return abs(math.log(scale)) > 0.01 and math.isclose(
        std * scale, target, rel_tol=min(1e-3, 0.1 * abs(math.log(scale)))
    )


def _check_finite(rows: list[WalkRow]) -> None:
    for row in rows:
        if not (math.isfinite(row.std) and math.isfinite(row.scale)):
            raise ValueError(
                "lsuv: outputs of all layers must be finite. Received: "
                f"{row.call.name!r} is not, with standard deviation {row.std}. Look "
                "for infinite weights or activations that overflow."
            )


def _note(row: WalkRow, rows: list[WalkRow]) -> str:
    uses = sum(other.kernel == row.kernel for other in rows)
    return f"shared by {uses} calls" if uses > 1 else ""
