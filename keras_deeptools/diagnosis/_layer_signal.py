"""What one call of a layer does to signals and gradients."""

import math
from dataclasses import dataclass, field

import numpy as np

NOTHING = np.zeros(0, "float32")


@dataclass(frozen=True, eq=False)
class LayerSignal:
    """Numbers about one call of a layer on a batch. Made by `signal_propagation`.

    Args:
        name: Str, path of the call; `#2` is the second use of a layer.
        kind: Str, class of the layer.
        weighted: Bool, whether the layer holds a kernel, or is recurrent.
        shape: Tuple of ints, shape of the outputs for one sample; None where a size
            depends on the data.
        normalizations: Int, how many normalization layers were called before it.
        mean: Float, mean of the outputs (activations).
        std: Float, their standard deviation over rows and units.
        pre_activation_std: Float, that of the outputs before the fused activation.
        saturated: Float in [0, 1], fraction of outputs next to a limit of the
            activation other than zero; NaN where it has none.
        zero: Float in [0, 1], fraction of outputs that are exactly zero.
        dead: Float in [0, 1], fraction of units that are zero, or saturated, on the
            whole batch.
        gradient_mean: Float, mean of the gradient of the loss with respect to the
            pre-activations; NaN without a loss.
        gradient_std: Float, its root mean square.
        weight_gradient_std: Float, root mean square of the gradient with respect to
            the kernel; NaN where there is none.
        activations: Float32 array, a sample of at most 4096 outputs.
        gradients: Float32 array, a sample of the gradient of the pre-activations.
        weight_gradients: Float32 array, a sample of the gradient of the kernel.
        singular_values: Float64 array `(rows, k)`, singular values of the Jacobian of
            the model's outputs with respect to the pre-activations, for single rows.

    Example:

    >>> from keras_deeptools.diagnosis import LayerSignal
    >>> LayerSignal("dense", "Dense", mean=0.0, std=0.5).std
    0.5
    """

    name: str
    kind: str
    weighted: bool = True
    shape: tuple[int | None, ...] = ()
    normalizations: int = 0
    mean: float = math.nan
    std: float = math.nan
    pre_activation_std: float = math.nan
    saturated: float = math.nan
    zero: float = math.nan
    dead: float = math.nan
    gradient_mean: float = math.nan
    gradient_std: float = math.nan
    weight_gradient_std: float = math.nan
    activations: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
    gradients: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
    weight_gradients: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
    singular_values: np.ndarray = field(default_factory=lambda: NOTHING, repr=False)
