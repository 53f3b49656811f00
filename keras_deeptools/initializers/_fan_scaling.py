"""Random kernels scaled by the fans that are right for their layer."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import (
    checked_count,
    checked_option,
    is_integer,
    message,
)
from keras_deeptools.engine._keras_private.versions import (
    axes_of_kernel_being_built,
    knows_kernel_axes,
)
from keras_deeptools.initializers._gain import checked_gain
from keras_deeptools.initializers._kernel import (
    KINDS,
    Kernel,
    as_tensor,
    kernel_of,
    started,
)

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")

SPREAD_WITHIN_TWO = np.float32(0.87962566103423978)
"""Standard deviation of a standard normal distribution truncated at -2 and 2."""


@keras.saving.register_keras_serializable(package="keras_deeptools")
class FanScaling(keras.initializers.VarianceScaling):
    """Random kernel with variance `gain ** 2 / fan`, for the true fans of the layer.

    Keras reads fans from the shape alone, which is wrong for depthwise, separable,
    transposed, grouped and fused recurrent kernels. Here, `kind` names the kind of
    layer; `initializer_for` chooses it for you. EinsumDense and attention layers
    determine by themselves which axes they sum over.

    The numbers come from numpy, so a seed gives the same kernel on every backend. Each
    call of one object, or of a copy made from its config, draws other numbers: an
    initializer that several layers share gives each its own kernel.

    Args:
        gain: Float > 0. Scale of the outputs, as `gain(activation)` returns it.
        kind: Str or None. `"dense"`, `"conv"`, `"conv_transpose"`, `"depthwise_conv"`,
            `"recurrent"` (kernel or recurrent kernel), `"embedding"`; None goes by the
            rank of the kernel: rank 2 is dense, a higher rank is a convolution.
        mode: Str. `"fan_in"` keeps the variance of outputs, `"fan_out"` that of
            gradients, `"fan_avg"` is between them.
        distribution: Str. `"truncated_normal"`, `"untruncated_normal"`, `"uniform"`.
        groups: Int >= 1. Groups of a convolution; gates of a recurrent kernel.
        strides: Int >= 1 or tuple of ints. Strides of a convolution.
        input_axes: List of ints or None. Axes of the kernel that are summed over, if
            `kind` does not determine them; used together with `output_axes`.
        output_axes: List of ints or None. Axes of the kernel that only outputs have.
        seed: Int >= 0 or None. None draws a seed from Python's random state, which
            `keras.utils.set_random_seed` sets.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range; when called, if `groups` does
            not divide the outputs.

    Example:

    >>> import keras
    >>> from keras_deeptools.initializers import FanScaling
    >>> init = FanScaling(kind="depthwise_conv", seed=0)
    >>> kernel = init((3, 3, 500, 1))  # nine inputs for each output
    >>> round(float(keras.ops.var(kernel) * 9), 1)
    1.0

    Reference:
        He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self,
        gain: float = 1.0,
        kind: str | None = None,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        groups: int = 1,
        strides: int | tuple[int, ...] = 1,
        input_axes: list[int] | tuple[int, ...] | None = None,
        output_axes: list[int] | tuple[int, ...] | None = None,
        seed: int | None = None,
    ) -> None:
        owner = type(self).__name__
        self.gain = checked_gain(owner, gain)
        self.kind = None if kind is None else checked_option(owner, "kind", kind, KINDS)
        self.groups = checked_count(owner, "groups", groups)
        self.strides = checked_strides(owner, strides)
        axes = [
            checked_axes(owner, "input_axes", input_axes),
            checked_axes(owner, "output_axes", output_axes),
        ]
        if (axes[0] is None) != (axes[1] is None):
            rule = "given together with `output_axes`, or not at all"
            raise ValueError(message(owner, "input_axes", rule, input_axes))
        checked_option(owner, "mode", mode, MODES)
        checked_option(owner, "distribution", distribution, DISTRIBUTIONS)
        self._stream = started(owner, seed)
        told = axes if knows_kernel_axes() else ()
        super().__init__(self.gain**2, mode, distribution, self._stream, *told)
        self.input_axes, self.output_axes = axes[:2]
        self.seed = None if seed is None else self._stream

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Draw a kernel, in Keras' own dtype by default."""
        axes = (self.input_axes, self.output_axes)
        if axes[0] is None and self.kind is None and not knows_kernel_axes():
            axes = axes_of_kernel_being_built(self, tuple(shape))
        kernel = kernel_of(
            tuple(shape),
            self.kind,
            groups=self.groups,
            strides=self.strides,
            input_axes=axes[0],
            output_axes=axes[1],
        )
        if kernel.columns < 1 or kernel.columns * self.groups != kernel.all_columns:
            rule = f"a divisor of the {kernel.all_columns} outputs of a kernel {shape}"
            name = type(self).__name__
            raise ValueError(message(name, "groups", rule, self.groups))
        return as_tensor(self.draw(kernel, self._stream.generator()), dtype)

    def draw(self, kernel: Kernel, rng: np.random.Generator) -> np.ndarray:
        """Draw the values for a `kernel` from `rng`."""
        deviation = np.float32(self.gain * self.fan(kernel) ** -0.5)
        if self.distribution == "uniform":
            zero_to_one = rng.random(kernel.shape, "float32")
            return (2 * zero_to_one - 1) * np.float32(3**0.5) * deviation
        values: np.ndarray = rng.standard_normal(kernel.shape, "float32")
        if self.distribution == "truncated_normal":
            values = _within_two(values, rng) / SPREAD_WITHIN_TWO
        return values * deviation

    def fan(self, kernel: Kernel) -> float:
        """The divisor of the variance of a `kernel`."""
        fan_in, fan_out = kernel.fans
        average = (fan_in + fan_out) / 2
        return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": average}[self.mode]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "gain": self.gain,
            "kind": self.kind,
            "mode": self.mode,
            "distribution": self.distribution,
            "groups": self.groups,
            "strides": self.strides,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
            "seed": self.seed,
        }


def _within_two(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw again the values that are beyond two standard deviations."""
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()), "float32")
    return values


def checked_strides(owner: str, value: Any) -> int | tuple[int, ...]:
    """Return one int >= 1, or a tuple of them, or raise."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(checked_count(owner, "strides", item) for item in value)
    return checked_count(owner, "strides", value)


def checked_axes(owner: str, argument: str, value: Any) -> tuple[int, ...] | None:
    """Return a tuple of ints, or None if `value` is None, or raise."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(map(is_integer, value)):
        raise TypeError(message(owner, argument, "None or a list of integers", value))
    return tuple(int(axis) for axis in value)
