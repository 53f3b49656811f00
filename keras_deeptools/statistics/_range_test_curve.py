"""Range tests whose steepest point is known."""

import math
from collections.abc import Callable

import numpy as np


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(np.clip(z, -500, 500)))


def _normal(z: np.ndarray) -> np.ndarray:
    return 0.5 * np.vectorize(math.erfc)(z)


def _exponential_decay(z: np.ndarray) -> np.ndarray:
    return np.exp(-np.exp(np.clip(z, -500, 50)))


def _late_tail(z: np.ndarray) -> np.ndarray:
    return 1 - np.exp(-np.exp(np.clip(-z, -500, 50)))


def _power_law(z: np.ndarray) -> np.ndarray:
    return (1 + 2 * np.exp(np.clip(z, -500, 500))) ** -0.5


def _step_before(z: np.ndarray) -> np.ndarray:
    return 0.3 * _sigmoid(z + 5) + 0.7 * _sigmoid(z)


def _step_after(z: np.ndarray) -> np.ndarray:
    return 0.7 * _sigmoid(z) + 0.3 * _sigmoid(z - 5)


SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": _sigmoid,
    "normal": _normal,
    "late tail": _late_tail,
    "step before": _step_before,
    "exponential decay": _exponential_decay,
    "power law": _power_law,
    "step after": _step_after,
}


class RangeTestCurve:
    """A loss over the learning rate: flat, a descent, a floor, and divergence.

    It serves to judge rules that read a learning rate from such a curve: the steepest
    point is known, and noise can be added.

    Args:
        steepest: Float > 0. Learning rate at which the descent is steepest.
        shape: One of `RangeTestCurve.shapes`. `"exponential decay"` is what gradient
            descent does to a quadratic; the others have longer or doubled tails.
        width: Float > 0, decades from 10% to 90% of the descent.
        gap: Float, decades from there to the point where divergence has added 0.3.
        initial_loss: Float, the loss at small learning rates.
        lowest_loss: Float < `initial_loss`, the loss at the end of the descent.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    >>> from keras_deeptools.statistics import RangeTestCurve
    >>> curve = RangeTestCurve(steepest=1e-3, initial_loss=2.3, lowest_loss=0.6)
    >>> [round(float(curve.loss(rate)), 1) for rate in (1e-7, 1e-3, 1e-1)]
    [2.3, 1.5, 1.6]
    >>> rates, losses = curve.sample(noise=0.05, seed=0)
    >>> rates.shape, losses.shape
    ((100,), (100,))
    """

    shapes = tuple(SHAPES)

    def __init__(
        self,
        steepest: float,
        shape: str = "sigmoid",
        width: float = 1.5,
        gap: float = 1.0,
        initial_loss: float = 2.3,
        lowest_loss: float = 0.6,
    ) -> None:
        for name, value in {"steepest": steepest, "width": width}.items():
            if not value > 0:
                raise ValueError(
                    f"RangeTestCurve: `{name}` must be > 0. Received: {name}={value!r}"
                )
        if shape not in SHAPES:
            raise ValueError(
                f"RangeTestCurve: `shape` must be one of {', '.join(SHAPES)}. "
                f"Received: shape={shape!r}"
            )
        if not lowest_loss < initial_loss:
            raise ValueError(
                "RangeTestCurve: `lowest_loss` must be < `initial_loss`. "
                f"Received: lowest_loss={lowest_loss!r}, initial_loss={initial_loss!r}"
            )
        self.steepest = steepest
        self.initial_loss = initial_loss
        self.lowest_loss = lowest_loss
        self._descent = SHAPES[shape]
        z = np.linspace(-40, 40, 80001)
        descent = self._descent(z)
        tenth, nine_tenths = (z[np.argmax(descent < q)] for q in (0.9, 0.1))
        self._centre = z[np.argmin(np.gradient(descent))]
        self._scale = (nine_tenths - tenth) / width
        foot = np.log10(steepest) + (nine_tenths - self._centre) / self._scale
        self._blow_up = foot + gap

    def loss(self, learning_rates: np.ndarray | float) -> np.ndarray:
        """Returns the loss without noise, of the shape of `learning_rates`."""
        decades = np.log10(learning_rates)
        z = self._centre + (decades - np.log10(self.steepest)) * self._scale
        height = self.initial_loss - self.lowest_loss
        blow_up = 0.3 * 10 ** np.clip(2 * (decades - self._blow_up), -300, 4)
        return self.lowest_loss + height * self._descent(z) + blow_up

    def sample(
        self,
        noise: float,
        seed: int,
        num_steps: int = 100,
        min_learning_rate: float = 1e-7,
        max_learning_rate: float = 10.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Simulates one range test.

        Args:
            noise: Float >= 0, standard deviation of the Gaussian noise on the loss.
            seed: Int, seed of the noise.
            num_steps: Int >= 2, number of learning rates, at equal ratios.
            min_learning_rate: Float > 0, the first learning rate.
            max_learning_rate: Float, the last learning rate.

        Returns:
            Learning rates and losses, float64 arrays `(num_steps,)`.
        """
        rates = np.geomspace(min_learning_rate, max_learning_rate, num_steps)
        random = np.random.default_rng(seed)
        return rates, self.loss(rates) + random.normal(0, noise, num_steps)
