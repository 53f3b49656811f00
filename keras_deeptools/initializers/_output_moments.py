"""The variance of a linear layer's output as a function of the scale of its weights."""

from dataclasses import dataclass
from typing import Any

from keras import ops

LEAST_VARIANCE = 1e-36
LEAST_RELATIVE_VARIANCE = 1e-12


@dataclass(frozen=True)
class Moments:
    """Second moments of a linear layer's output over all its elements.

    Attributes:
        mean: Scalar tensor, mean of the output without the bias.
        linear: Scalar tensor, variance of the output without the bias.
        covariance: Scalar tensor, covariance of that output and the bias, or None.
        bias: Scalar tensor, variance of the bias; None where there is none.
    """

    mean: Any
    linear: Any
    covariance: Any = None
    bias: Any = None

    @classmethod
    def of(cls, linear: Any, bias: Any) -> "Moments":
        """The moments of an output without its bias, and of the bias.

        Args:
            linear: Float32 tensor.
            bias: Float32 tensor that broadcasts to it, or None.
        """
        mean = ops.mean(linear)
        centred = linear - mean
        variance = ops.mean(ops.square(centred))
        if bias is None:
            return cls(mean, variance)
        bias = bias - ops.mean(bias)
        return cls(mean, variance, ops.mean(centred * bias), ops.mean(ops.square(bias)))

    @property
    def varies(self) -> Any:
        """Scalar bool tensor: whether the output is more than a constant."""
        least = LEAST_RELATIVE_VARIANCE * ops.square(self.mean) + LEAST_VARIANCE
        return self.linear > least

    def scales(self, target: float) -> tuple[Any, Any]:
        """The scales of kernel and bias that give the output a standard deviation.

        The bias stays where the target can be reached with it (the root of a
        quadratic); where it alone spreads wider than that, both are scaled alike.

        Args:
            target: Float > 0.

        Returns:
            Two scalar tensors; meaningless where the output does not vary.
        """
        if self.bias is None:
            return target / ops.sqrt(self.linear), 1.0
        room = target**2 - self.bias
        under = ops.square(self.covariance) + self.linear * room
        root = ops.sqrt(ops.maximum(under, 0.0))
        kept = (root - self.covariance) / self.linear
        whole = target / self.std(1.0, 1.0)
        return ops.where(room > 0, kept, whole), ops.where(room > 0, 1.0, whole)

    def std(self, scale: Any, bias_scale: Any) -> Any:
        """The standard deviation of the output with scaled kernel and bias."""
        if self.bias is None:
            return ops.abs(scale) * ops.sqrt(self.linear)
        mixed = 2 * scale * bias_scale * self.covariance
        total = ops.square(scale) * self.linear + mixed
        total = total + ops.square(bias_scale) * self.bias
        return ops.sqrt(ops.maximum(total, 0.0))
